//! Processes are really killed, and the database really goes away: nothing is lost or counted twice.

use crate::support::{
    Evenfold, SOON, TestDb, append_one, assert_counters_agree, counter, drain, event, only_worker, scalar, wait_until,
    worker_of,
};
use evenfold::class::Class;
use evenfold::database::Database;
use evenfold::projection::{self, Phase, RunOptions};
use evenfold::schema::Schema;
use evenfold::{log, schema};
use evenfold_embedded::{self as embedded, Options};
use nix::sys::signal::Signal;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

const KILLS: u32 = 20;

/// The examples, of which two want these events.
const IN_SQL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/projections");

/// How many rows of the projection in SQL are not those of the counters.
const OTHERWISE_IN_SQL: &str = "SELECT count(*) FROM (
    SELECT aggregate_type, aggregate_id, events, value, version FROM evenfold.counters) AS c
    FULL JOIN totals t USING (aggregate_type, aggregate_id)
    WHERE (c.events, c.value, c.version) IS DISTINCT FROM (t.events, t.value, t.version)";

fn worker_args<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["worker", "--partition-key=0", "--total-partitions=1", "--database-url", url];
    args.extend(more);
    args
}

async fn applied(conn: &mut PgConnection) -> i64 {
    sqlx::query_scalar::<_, Option<i64>>("SELECT sum(events)::bigint FROM evenfold.counters")
        .fetch_one(conn)
        .await
        .unwrap()
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_twenty_times_at_random_applies_everything_exactly_once() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let writing = CancellationToken::new();
    let (mut writer, stop) = (db.connect().await, writing.clone());
    let load = tokio::spawn(async move {
        let mut n = 0;
        while !stop.is_cancelled() {
            let batch: Vec<_> = (0..20).map(|k| event(&format!("a{}", (n + k) % 97), n)).collect();
            log::append(&mut writer, &batch).await.unwrap();
            n += 20;
        }
        n
    });
    let args = worker_args(&db.url, &["--batch-size=50", "--max-actors=200", "--projections", IN_SQL]);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for kill in 0..KILLS {
        let mut worker = Evenfold::spawn(&args);
        // Some batches into its work, then at any moment within the time of a few more.
        let target = applied(&mut conn).await + random.i64(1..500);
        wait_until("the worker to apply more", SOON, async || applied(&mut conn).await >= target).await;
        let moment = std::time::Duration::from_micros(random.u64(0..20_000));
        let _ = tokio::time::timeout(moment, std::future::pending::<()>()).await;
        assert_eq!(worker.ended(), None, "kill {kill}: {}", worker.log());
        worker.signal(Signal::SIGKILL);
        worker.wait();
    }
    writing.cancel();
    let written = load.await.unwrap();
    let mut last = Evenfold::spawn(&worker_args(&db.url, &["--until-caught-up", "--projections", IN_SQL]));
    assert_eq!(last.wait(), 0, "{}", last.log());
    assert_eq!(applied(&mut conn).await, written);
    assert_eq!(scalar(&mut conn, OTHERWISE_IN_SQL).await, 0);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM timeline").await, written);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_sigterm_finish_the_batch_and_say_how_much_was_applied() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        for n in 1..=5 {
            append_one(&mut conn, "a", n).await;
        }
        let mut worker = Evenfold::spawn(&worker_args(&db.url, &["--batch-size=2"]));
        wait_until("the counter", SOON, async || counter(&mut conn, "a").await == Some((15, 5))).await;
        wait_until("the heartbeat", SOON, async || {
            scalar(&mut conn, "SELECT count(*) FROM evenfold.heartbeats").await == 1
        })
        .await;
        worker.signal(signal);
        assert_eq!(worker.wait(), 0, "{}", worker.log());
        wait_until("the log", SOON, async || worker.log().contains("stopped")).await;
        assert!(worker.log().contains("stopped partition=0/1 applied=5"), "{}", worker.log());
        assert_eq!(
            scalar(&mut conn, "SELECT count(*) FROM evenfold.heartbeats").await,
            0,
            "it took its heartbeat away"
        );
    }
}

/// A server in the middle of a statement does not notice by itself that its client has gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_has_locked_is_free_again_although_its_statement_goes_on() {
    let db = TestDb::new().await;
    let (mut watcher, mut other) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut watcher, 10).await;
    append_one(&mut watcher, "a", 1).await;
    assert_eq!(drain(&mut worker, &mut watcher).await, 1);
    let version = scalar(&mut watcher, "SELECT current_setting('server_version_num')::bigint").await;
    if version < 140_000 {
        // There is no such setting before: then it takes as long as the statement.
        return;
    }
    let mut killed = db.database.connect().await.unwrap();
    let statement = tokio::spawn(async move {
        let long = "BEGIN; SELECT FROM evenfold.checkpoints FOR UPDATE; SELECT pg_sleep(600)";
        sqlx::raw_sql(long).execute(&mut killed).await
    });
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND datname = current_database()
        AND wait_event = 'PgSleep'";
    wait_until("the long statement", SOON, async || scalar(&mut watcher, sleeping).await == 1).await;
    // Its socket is closed, as that of a process that is killed.
    statement.abort();
    let locked = "SELECT count(*)::bigint FROM (SELECT FROM evenfold.checkpoints FOR UPDATE) AS rows";
    assert_eq!(tokio::time::timeout(SOON, scalar(&mut other, locked)).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_survives_the_restart_of_postgresql_and_loses_nothing() {
    // Open to the user that the server is run as, if we are root.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let dir = tempfile::Builder::new().permissions(open).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // A server of its own; kept, so that it can be stopped under the worker, which does not count as its user.
    let options = Options::new(dir.path().join("pg")).durable(false);
    let url = embedded::keep(&options).unwrap().url;
    let database = Database::at(&url).unwrap();
    let (mut conn, _) = database.connect_to_server().await.unwrap();
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    append_one(&mut conn, "a", 1).await;

    let stop = CancellationToken::new();
    let worker = worker_of(Class::partition(0, 1).unwrap(), 10);
    let progress = worker.progress();
    let (running_on, token) = (database.clone(), stop.clone());
    let running =
        tokio::spawn(async move { projection::run(&running_on, worker, &RunOptions::default(), token).await });
    wait_until("the first event", SOON, async || counter(&mut conn, "a").await == Some((1, 1))).await;

    for round in 2..=3 {
        embedded::shut_down(&options).unwrap();
        wait_until("the worker to notice", SOON, async || matches!(progress.phase(), Phase::Retrying(_))).await;
        assert_eq!(embedded::keep(&options).unwrap().url, url);
        conn = database.connect().await.unwrap();
        append_one(&mut conn, "a", 1).await;
        wait_until("the next event", SOON, async || counter(&mut conn, "a").await == Some((round, round))).await;
    }
    stop.cancel();
    assert_eq!(running.await.unwrap().unwrap().applied, 3);
    assert_counters_agree(&mut conn).await;
    drop(conn);
    embedded::shut_down(&options).unwrap();
}
