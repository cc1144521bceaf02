//! A worker that waits for events is woken by a notification, and finds without one what nobody notifies it of.

use crate::support::{Evenfold, SOON, TestDb, counter, scalar, wait_until, worker_of};
use evenfold::class::Class;
use evenfold::projection::{self, Pool, Report, RunError, RunOptions};
use evenfold::schema::Schema;
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_hours(1);

const LISTENING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'";

/// Workers that have asked for nothing for some time: they have ceased to look often.
const ASLEEP: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'
    AND application_name LIKE 'evenfold counters %' AND application_name NOT LIKE '% ahead'
    AND clock_timestamp() - state_change > interval '300 ms'";

/// Appends an event as writers do that do not know of workers.
async fn insert(conn: &mut PgConnection, version: i64) {
    sqlx::query(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         VALUES ($1, 't', 'a', 'added', '{\"amount\": 1}')",
    )
    .bind(version)
    .execute(conn)
    .await
    .unwrap();
}

async fn notify(conn: &mut PgConnection) {
    sqlx::raw_sql(AssertSqlSafe(format!("NOTIFY {}", Schema::default().channel()))).execute(conn).await.unwrap();
}

async fn wait_for(what: &str, conn: &mut PgConnection, sql: &'static str, count: i64) {
    wait_until(what, SOON, async || scalar(conn, sql).await == count).await;
}

async fn applied(conn: &mut PgConnection, version: i64) {
    wait_until("the event", SOON, async || counter(conn, "a").await == Some((version, version))).await;
}

/// A worker that looks this often, asleep.
async fn sleeping(
    db: &TestDb,
    conn: &mut PgConnection,
    poll_interval: Duration,
) -> (JoinHandle<Result<Report, RunError>>, CancellationToken) {
    let stop = CancellationToken::new();
    let (database, token) = (db.database.clone(), stop.clone());
    let worker = worker_of(Class::partition(0, 1).unwrap(), 100);
    let options = RunOptions::default().poll_interval(poll_interval);
    let running = tokio::spawn(async move { projection::run(&database, worker, &options, token).await });
    wait_for("the listener", conn, LISTENING, 1).await;
    wait_for("the worker to fall asleep", conn, ASLEEP, 1).await;
    (running, stop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_worker_applies_an_event_when_it_is_notified() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (running, stop) = sleeping(&db, &mut conn, HOUR).await;
    for version in 1..=3 {
        insert(&mut conn, version).await;
        notify(&mut conn).await;
        applied(&mut conn, version).await;
        wait_for("the worker to fall asleep", &mut conn, ASLEEP, 1).await;
    }
    stop.cancel();
    assert_eq!(running.await.unwrap().unwrap().applied, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_lost_comes_back_and_wakes_the_workers_for_notifications_it_missed() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (running, stop) = sleeping(&db, &mut conn, HOUR).await;
    let killed = scalar(
        &mut conn,
        "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND query ILIKE 'LISTEN%') k",
    );
    assert_eq!(killed.await, 1);
    // Nobody is notified of it: that the listener is back is what wakes the worker.
    insert(&mut conn, 1).await;
    applied(&mut conn, 1).await;

    wait_for("the worker to fall asleep", &mut conn, ASLEEP, 1).await;
    insert(&mut conn, 2).await;
    notify(&mut conn).await;
    applied(&mut conn, 2).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_is_notified_of_is_found_at_the_poll_interval() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (running, stop) = sleeping(&db, &mut conn, Duration::from_secs(1)).await;
    insert(&mut conn, 1).await;
    applied(&mut conn, 1).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_has_one_listener_that_wakes_all_of_its_workers_and_ends_with_them() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let stop = CancellationToken::new();
    let partitions: Vec<Class> = (0..8).map(|key| Class::partition(key, 8).unwrap()).collect();
    let options = RunOptions::default().poll_interval(HOUR);
    let mut pool = Pool::start(&db.database, &partitions, |class| worker_of(class, 100), &options, &stop).unwrap();
    wait_for("the listener", &mut conn, LISTENING, 1).await;
    wait_for("the workers to fall asleep", &mut conn, ASLEEP, 8).await;
    assert_eq!(scalar(&mut conn, LISTENING).await, 1);
    sqlx::raw_sql(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         SELECT 1, 't', 'a' || n, 'added', '{}' FROM generate_series(1, 100) n",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    notify(&mut conn).await;
    wait_for("all events", &mut conn, "SELECT count(*) FROM evenfold.counters", 100).await;
    stop.cancel();
    while pool.ended().await.is_some() {}
    wait_for("the listener to end", &mut conn, LISTENING, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_sleeping_worker_at_once() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let hour = "--poll-interval-ms=3600000";
        let mut worker =
            Evenfold::spawn(&["--partition-key=0", "--total-partitions=1", hour, "--database-url", &db.url]);
        wait_for("the worker to fall asleep", &mut conn, ASLEEP, 1).await;
        worker.signal(signal);
        wait_until("its end", SOON, async || worker.ended().is_some()).await;
        assert_eq!(worker.wait(), 0);
        wait_for("its connections to end", &mut conn, ASLEEP, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn until_caught_up_a_worker_waits_for_nothing_and_nobody() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    insert(&mut conn, 1).await;
    let worker = worker_of(Class::partition(0, 1).unwrap(), 100);
    let options = RunOptions::default().until_caught_up(true).poll_interval(HOUR);
    let run = projection::run(&db.database, worker, &options, CancellationToken::new());
    let report = tokio::time::timeout(SOON, run).await.unwrap().unwrap();
    assert_eq!(report.applied, 1);
}
