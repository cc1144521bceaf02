//! A heartbeat goes on whatever else stalls, and one that is late says so.

use crate::support::{Evenfold, SOON, TestDb, append_one, counter, scalar, wait_until};
use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection};
use std::time::Duration;

const BEATS: &str = "SELECT coalesce(max((extract(epoch FROM beat_at) * 1000)::bigint), 0) FROM evenfold.heartbeats";

fn worker(db: &TestDb) -> Evenfold {
    let args = ["worker", "--partition-key=0", "--total-partitions=1", "--heartbeat-interval-ms=100"];
    Evenfold::spawn(&[&args[..], &["--database-url", &db.url]].concat())
}

async fn at_work(db: &TestDb, conn: &mut PgConnection) -> Evenfold {
    let worker = worker(db);
    append_one(conn, "a", 1).await;
    wait_until("the first event", SOON, async || counter(conn, "a").await.is_some()).await;
    // Of the heartbeat's own connection, and not of the registration: a new connection would be checked first.
    let beats = "SELECT count(*) FROM evenfold.heartbeats WHERE state = 'caught up'";
    wait_until("a heartbeat", SOON, async || scalar(conn, beats).await == 1).await;
    worker
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_was_stalled_by_a_lock_is_back_at_once_and_reports_how_late_it_was() {
    let db = TestDb::new().await;
    let (mut conn, mut blocker) = (db.connect().await, db.connect().await);
    let mut worker = at_work(&db, &mut conn).await;
    let mut lock = blocker.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE evenfold.heartbeats IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    // Longer than three intervals; the pause was twenty times the stall.
    wait_until("it to be late", SOON, async || worker.log().contains("WARN no heartbeat was written for")).await;
    append_one(&mut conn, "a", 1).await;
    wait_until("the work to go on", SOON, async || counter(&mut conn, "a").await == Some((2, 2))).await;
    let before = scalar(&mut conn, BEATS).await;
    lock.rollback().await.unwrap();
    wait_until("it to be back", Duration::from_secs(5), async || scalar(&mut conn, BEATS).await > before).await;
    wait_until("the log", SOON, async || worker.log().contains("WARN the heartbeat is back, after")).await;
    let late = "SELECT count(*) FROM evenfold.heartbeats WHERE state LIKE 'caught up; no heartbeat for %'";
    wait_until("its state to say so", SOON, async || scalar(&mut conn, late).await == 1).await;
    let shown = Evenfold::run(&["status", "--database-url", &db.url], "");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("was late: no heartbeat for"), "{text}");
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_does_not_wait_for_the_count_of_what_is_left() {
    let db = TestDb::new().await;
    let (mut conn, mut blocker) = (db.connect().await, db.connect().await);
    let mut worker = at_work(&db, &mut conn).await;
    let mut lock = blocker.begin().await.unwrap();
    // Neither the worker nor the count gets any further.
    sqlx::raw_sql("LOCK TABLE evenfold.events").execute(&mut *lock).await.unwrap();
    let mut last = scalar(&mut conn, BEATS).await;
    for _ in 0..20 {
        wait_until("the next beat", Duration::from_secs(5), async || scalar(&mut conn, BEATS).await > last).await;
        last = scalar(&mut conn, BEATS).await;
    }
    lock.rollback().await.unwrap();
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_leaves_no_heartbeat_though_its_sessions_were_just_ended() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = at_work(&db, &mut conn).await;
    sqlx::raw_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.wait(), 0);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.heartbeats").await, 0);
}
