//! Rows of a log that others write, read from a hot standby, however far that is behind.

use super::long::{WRITTEN, counters};
use super::looked_after::{Payments, write};
use super::shop::Shop;
use super::{LONG, assert_folded, start, writers};
use crate::support::{Postgres, TestDb, note_synchronous_commit, partition, scalar, wait_until};
use evenfold::checkpoint::status_of;
use evenfold::database::Database;
use evenfold::log::foreign::Mapping;
use evenfold::projection::{self, RunOptions, Sourced, Step, Worker, WorkerError, WorkerOptions};
use evenfold::schema::Schema;
use sqlx::PgConnection;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

struct Servers {
    primary: Postgres,
    standby: Postgres,
}

impl Servers {
    fn start(settings: &str) -> Self {
        block_in_place(|| {
            let primary = Postgres::start("UTF8", settings);
            let standby = primary.standby();
            Self { primary, standby }
        })
    }

    /// A log whose events have the kind `odd`, which is refused, where they are not read from a standby.
    async fn shop(&self) -> Shop {
        let read = "CASE WHEN pg_is_in_recovery() THEN e.kind ELSE 'odd' END".to_owned();
        let log = Shop::at(&self.primary.url()).await.rows_from(&self.standby.url());
        self.until_replayed().await;
        log.differing(|mapping| Mapping { event_type: read, ..mapping }).await.rows_from(&self.standby.url())
    }

    async fn on_standby(&self) -> PgConnection {
        let options: sqlx::postgres::PgConnectOptions = self.standby.url().parse().unwrap();
        sqlx::ConnectOptions::connect(&options).await.unwrap()
    }

    async fn until_replayed(&self) {
        let mut primary = Database::at(&self.primary.url()).unwrap().connect_to_server().await.unwrap().0;
        let end: String =
            sqlx::query_scalar("SELECT pg_current_wal_lsn()::text").fetch_one(&mut primary).await.unwrap();
        let mut standby = self.on_standby().await;
        wait_until("the standby to follow", LONG, async || {
            let replayed = sqlx::query_scalar("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn").bind(&end);
            replayed.fetch_one(&mut standby).await.unwrap()
        })
        .await;
    }

    async fn pause(&self) {
        let mut standby = self.on_standby().await;
        sqlx::raw_sql("SELECT pg_wal_replay_pause()").execute(&mut standby).await.unwrap();
        let paused = "SELECT count(*) FROM pg_get_wal_replay_pause_state() AS state WHERE state = 'paused'";
        wait_until("the replay to pause", LONG, async || scalar(&mut standby, paused).await == 1).await;
    }

    async fn resume(&self) {
        sqlx::raw_sql("SELECT pg_wal_replay_resume()").execute(&mut self.on_standby().await).await.unwrap();
    }
}

fn worker(log: &Shop, batch_size: usize) -> Worker<Sourced<Payments>> {
    let options = WorkerOptions::default().batch_size(batch_size);
    Worker::new(partition(0, 1), Sourced::new(Payments::default(), Some(log.source())), options)
}

async fn drain(worker: &mut Worker<Sourced<Payments>>, conn: &mut PgConnection) -> Result<(), WorkerError> {
    let started = Instant::now();
    while worker.step(conn).await? != Step::CaughtUp {
        assert!(started.elapsed() < LONG, "it does not catch up");
    }
    Ok(())
}

async fn applied(model: &mut PgConnection) -> (i64, i64) {
    let paid = scalar(model, "SELECT coalesce(sum(paid), 0)::bigint FROM payments").await;
    (paid, scalar(model, "SELECT count(*) FROM evenfold.parked_events").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_has_not_replayed_is_waited_for_and_nobody_has_caught_up_meanwhile() {
    let (servers, read_model) = (Servers::start(""), TestDb::new().await);
    let log = servers.shop().await;
    let mut model = read_model.connect().await;
    write(&log, 1, 1, "paid").await;
    write(&log, 2, 1, "paid").await;
    let mut worker = worker(&log, 100);
    drain(&mut worker, &mut model).await.unwrap();
    assert_eq!(applied(&mut model).await, (2, 0), "applied, and read from the primary");

    servers.pause().await;
    write(&log, 1, 2, "paid").await;
    for _ in 0..20 {
        assert_eq!(worker.step(&mut model).await.unwrap(), Step::Converged);
    }
    let mut there = log.source().open().await.unwrap();
    let status = status_of(&Schema::default(), &mut model, Some(&mut there), "payments").await.unwrap();
    assert_eq!((status.behind(), applied(&mut model).await), (1, (2, 0)), "{status:?}");
    servers.resume().await;
    drain(&mut worker, &mut model).await.unwrap();
    assert_eq!(applied(&mut model).await, (3, 0));
}

/// Each statement on the log takes a while, and a transaction commits during the first one of a fence. The last one
/// sees it, and the standby replays it later than all that came before.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_fence_s_last_statement_has_seen_is_waited_for() {
    let (servers, read_model) = (Servers::start("recovery_min_apply_delay = '2s'"), TestDb::new().await);
    let slow = ("kind".to_owned(), "(SELECT 'paid' FROM pg_sleep(0.2))".to_owned());
    let log = servers.shop().await.differing(|mapping| Mapping { rows: Some(slow), ..mapping }).await;
    let log = log.rows_from(&servers.standby.url());
    let (mut model, mut writer) = (read_model.connect().await, log.connect().await);
    write(&log, 1, 1, "paid").await;
    let begin = "BEGIN; INSERT INTO shop.domain_events (order_id, version, kind, body) VALUES (md5('2')::uuid, 1, 'paid', '{}')";
    sqlx::raw_sql(begin).execute(&mut writer).await.unwrap();
    write(&log, 1, 2, "paid").await;
    let mut worker = worker(&log, 100);
    drain(&mut worker, &mut model).await.unwrap();
    let database = read_model.database.clone();
    let folding = tokio::spawn(async move {
        let mut conn = database.connect_to_server().await.unwrap().0;
        while applied(&mut conn).await != (3, 0) {
            worker.step(&mut conn).await.unwrap();
        }
    });
    let mut primary = log.connect().await;
    let first = "SELECT count(*) FROM pg_stat_activity
        WHERE query LIKE '%DESC LIMIT 1), pg_is_in_recovery()' AND wait_event = 'PgSleep'";
    wait_until("a fence's first statement", LONG, async || scalar(&mut primary, first).await == 1).await;
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    tokio::time::timeout(LONG, folding).await.expect("an event was lost").unwrap();
}

/// A window is fixed when it is opened: by a worker that has read its first events elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_another_worker_has_opened_is_read_once_the_standby_has_replayed_it() {
    let (servers, read_model) = (Servers::start(""), TestDb::new().await);
    let mut model = read_model.connect().await;
    let log = Shop::at(&servers.primary.url()).await;
    servers.until_replayed().await;
    servers.pause().await;
    for version in 1..=5 {
        write(&log, 1, version, "paid").await;
    }
    assert!(matches!(worker(&log, 2).step(&mut model).await.unwrap(), Step::Applied(_)));
    assert_eq!(applied(&mut model).await, (2, 0));
    let log = log.rows_from(&servers.standby.url());
    let mut other = worker(&log, 2);
    for _ in 0..10 {
        assert_eq!(other.step(&mut model).await.unwrap(), Step::Converged);
    }
    servers.resume().await;
    drain(&mut other, &mut model).await.unwrap();
    assert_eq!(applied(&mut model).await, (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_applied_once_and_in_order_from_a_standby_that_stops_and_goes_on() {
    let servers = Servers::start("max_prepared_transactions = 50");
    let log = servers.shop().await;
    fold_with_pauses(&servers, &log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_log_with_transactions_is_applied_once_and_in_order_from_such_a_standby() {
    let servers = Servers::start("max_prepared_transactions = 50");
    let log = Shop::at(&servers.primary.url()).await.by_transactions().await;
    servers.until_replayed().await;
    let log = log.rows_from(&servers.standby.url());
    fold_with_pauses(&servers, &log).await;
    // And alone, with nothing of what the standby has not replayed.
    let (read_model, mut worker) = (TestDb::new().await, worker(&log, 100));
    let mut model = read_model.connect().await;
    drain(&mut worker, &mut model).await.unwrap();
    let (before, _) = applied(&mut model).await;
    servers.pause().await;
    write(&log, 1_000, 1, "paid").await;
    for _ in 0..20 {
        assert_eq!(worker.step(&mut model).await.unwrap(), Step::Converged);
    }
    servers.resume().await;
    drain(&mut worker, &mut model).await.unwrap();
    assert_eq!(applied(&mut model).await, (before + 1, 0));
}

async fn fold_with_pauses(servers: &Servers, log: &Shop) {
    let read_model = TestDb::new().await;
    let writing = writers::start(log, 8, Duration::from_secs(5));
    let (ended, mut workers) = start(log, &read_model, 3);
    while !writing.is_finished() {
        servers.pause().await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..400))).await;
        servers.resume().await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..100))).await;
    }
    writing.await.unwrap();
    assert_folded(log, &read_model).await;
    ended.cancel();
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_reads_a_long_log_together_and_ahead_from_a_standby_once_that_has_replayed_it() {
    let servers = Servers::start("");
    let (log, read_model) = (servers.shop().await, TestDb::new().await);
    servers.pause().await;
    sqlx::raw_sql(WRITTEN).execute(&mut log.connect().await).await.unwrap();
    let mut standby = servers.on_standby().await;
    let resume = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_is_wal_replay_paused%' AND pid <> pg_backend_pid()";
        wait_until("all members to wait for it", LONG, async || scalar(&mut standby, waiting).await >= 3).await;
        servers.resume().await;
    };
    tokio::join!(resume, counters(&log, &read_model, 3));
}

/// The standby may not wait for those who read, and a lock is what it must replay.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_the_standby_cancels_is_tried_again() {
    let servers = Servers::start("max_standby_streaming_delay = 0");
    let slow = "(SELECT e.body FROM pg_sleep(0.1))".to_owned();
    let log = servers.shop().await.differing(|mapping| Mapping { payload: slow, ..mapping }).await;
    let log = log.rows_from(&servers.standby.url());
    let read_model = TestDb::new().await;
    for version in 1..=10 {
        write(&log, 1, version, "paid").await;
    }
    let (database, mut worker) = (read_model.database.clone(), worker(&log, 100));
    let folding = tokio::spawn(async move {
        let mut model = database.connect_to_server().await.unwrap().0;
        // Without an error.
        drain(&mut worker, &mut model).await.unwrap();
    });
    let (mut standby, mut primary) = (servers.on_standby().await, log.connect().await);
    let reading = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_until("a read to begin", LONG, async || scalar(&mut standby, reading).await > 0).await;
    sqlx::raw_sql("ALTER TABLE shop.domain_events ADD COLUMN note text").execute(&mut primary).await.unwrap();
    let cancelled = "SELECT sum(confl_lock)::bigint FROM pg_stat_database_conflicts";
    wait_until("it to be cancelled", LONG, async || scalar(&mut standby, cancelled).await > 0).await;
    folding.await.unwrap();
    assert_eq!(applied(&mut read_model.connect().await).await, (10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_standby_of_the_log_s_is_refused() {
    let (servers, others, read_model) = (Servers::start(""), Servers::start(""), TestDb::new().await);
    let mut model = read_model.connect().await;
    let log = servers.shop().await;
    write(&log, 1, 1, "paid").await;
    let mut folding = worker(&log, 100);
    drain(&mut folding, &mut model).await.unwrap();
    let primary = log.source().rows_from(&Database::at(&servers.primary.url()).unwrap());
    let refused = primary.check_rows_from().await.unwrap_err().to_string();
    assert!(refused.contains("rows_from must be a hot standby of the log's server"), "{refused}");
    let of_another = log.source().rows_from(&Database::at(&others.standby.url()).unwrap());
    let refused = of_another.check_rows_from().await.unwrap_err().to_string();
    assert!(refused.contains("name a standby of that server") && refused.contains("/00000001/postgres"), "{refused}");
    let other_database = servers.standby.url_of("postgres", "template1");
    let refused = log.source().rows_from(&Database::at(&other_database).unwrap()).check_rows_from().await.unwrap_err();
    assert!(refused.to_string().contains("/template1, and the log itself at"), "{refused}");
    log.source().check_rows_from().await.unwrap();

    block_in_place(|| servers.standby.promote());
    write(&log, 1, 2, "paid").await;
    let refused = drain(&mut folding, &mut model).await.unwrap_err();
    assert!(!refused.is_final() && refused.to_string().contains("or was promoted to one"), "{refused}");
    let refused = drain(&mut folding, &mut model).await.unwrap_err().to_string();
    assert!(refused.contains("or was promoted to one"), "{refused}");
    assert_eq!(applied(&mut model).await, (1, 0));
}

/// What `synchronous_commit` is when a worker applies a payment of this log.
async fn synchronous_commit(log: &Shop) -> String {
    let read_model = TestDb::new().await;
    let mut model = read_model.connect().await;
    let payments = || Sourced::new(Payments::default(), Some(log.source()));
    let until_caught_up = RunOptions::default().until_caught_up(true);
    let first = Worker::new(partition(0, 1), payments(), WorkerOptions::default());
    projection::run(&read_model.database, first, &until_caught_up, CancellationToken::new()).await.unwrap();
    note_synchronous_commit(&mut model, "payments").await;
    write(log, 1, 1, "paid").await;
    let (stop, worker) = (CancellationToken::new(), Worker::new(partition(0, 1), payments(), WorkerOptions::default()));
    let (database, stopped) = (read_model.database.clone(), stop.clone());
    let running =
        tokio::spawn(async move { projection::run(&database, worker, &RunOptions::default(), stopped).await });
    wait_until("the payment", LONG, async || scalar(&mut model, "SELECT count(*) FROM noted").await == 1).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    sqlx::query_scalar("SELECT setting FROM noted").fetch_one(&mut model).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_a_log_on_another_server_waits_for_the_disk_and_one_of_the_same_server_does_not() {
    let server = block_in_place(|| Postgres::start("UTF8", ""));
    assert_eq!(synchronous_commit(&Shop::at(&server.url()).await).await, "remote_write");
    assert_eq!(synchronous_commit(&Shop::new().await).await, "off");
}
