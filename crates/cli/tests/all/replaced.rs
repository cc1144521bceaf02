//! A number of partitions that was replaced waits for workers, and not for nobody.

use crate::support::{
    Evenfold, LOCKED_OUT, SOON, Stepped, TestDb, append_one, assert_all_applied_once, counted, ids_in, partition,
    scalar, wait_until, worker_of,
};
use evenfold::checkpoint::{Registered, Takeover};
use evenfold::projection::{self, GRACE, Phase, RunOptions, Step, WorkerError};
use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

async fn sql(conn: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

fn pool(db: &TestDb, workers: &str) -> Evenfold {
    Evenfold::spawn(&["pool", workers, "--log=info", "--database-url", &db.url])
}

async fn apply_twenty(conn: &mut PgConnection, limit: Duration) {
    let before = counted(conn).await;
    for n in 0..20 {
        append_one(conn, &format!("a{n}"), 1).await;
    }
    wait_until("the events", limit, async || counted(conn).await == before + 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_become_eight_and_four_again_without_a_wait_when_the_workers_were_stopped() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for workers in ["--workers=4", "--workers=8", "--workers=4"] {
        let mut pool = pool(&db, workers);
        apply_twenty(&mut conn, SOON).await;
        pool.signal(Signal::SIGTERM);
        assert_eq!(pool.wait(), 0, "{}", pool.log());
        assert!(!pool.log().contains("superseded"), "{}", pool.log());
    }
    assert_all_applied_once(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_were_killed_are_waited_for_until_their_heartbeats_are_stale() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for workers in ["--workers=2", "--workers=3"] {
        let mut pool = pool(&db, workers);
        apply_twenty(&mut conn, SOON).await;
        pool.signal(Signal::SIGKILL);
        pool.wait();
    }
    let mut third = pool(&db, "--workers=2");
    wait_until("it to wait", SOON, async || third.log().contains("superseded: the projection has gone on with 3"))
        .await;
    // A quarter of a minute, and not ten.
    apply_twenty(&mut conn, Duration::from_mins(1)).await;
    third.signal(Signal::SIGTERM);
    assert_eq!(third.wait(), 0, "{}", third.log());
    assert_all_applied_once(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_registers_has_a_heartbeat_in_the_same_transaction() {
    let db = TestDb::new().await;
    let (mut conn, mut blocker, stop) = (db.connect().await, db.connect().await, CancellationToken::new());
    let mut lock = blocker.begin().await.unwrap();
    sql(&mut lock, "LOCK TABLE evenfold.heartbeats IN EXCLUSIVE MODE").await;
    let worker = worker_of(partition(0, 1), 10);
    let (progress, database, token) = (worker.progress(), db.database.clone(), stop.clone());
    let run = tokio::spawn(async move { projection::run(&database, worker, &RunOptions::default(), token).await });
    // The heartbeat's own task is one of them.
    wait_until("the registration to wait", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 2).await;
    assert_eq!(
        scalar(&mut conn, "SELECT count(*) FROM evenfold.topologies").await,
        0,
        "for others it has not happened yet"
    );
    lock.rollback().await.unwrap();
    wait_until("it to work", SOON, async || progress.phase() == Phase::CaughtUp).await;
    stop.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_a_sign_of_life_where_the_heartbeat_is_late() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::start(&db, 0, 1, 10).await;
    let mut present = Stepped::start(&db, 0, 2, 10).await;
    append_one(&mut conn, &ids_in(partition(0, 2), 1)[0], 1).await;
    present.drain().await;
    let mut replaced = Stepped::new(&db, partition(0, 1), 10, Takeover::After(GRACE)).await;
    for (aged, waits) in [
        ("UPDATE evenfold.heartbeats SET beat_at = beat_at - interval '14 s'", true),
        ("UPDATE evenfold.heartbeats SET beat_at = beat_at - interval '60 s'", true),
        ("UPDATE evenfold.checkpoints SET moved_at = moved_at - interval '60 s'", false),
    ] {
        sql(&mut conn, aged).await;
        let superseded = matches!(replaced.register().await, Registered::Superseded { by: 2, .. });
        assert_eq!(superseded, waits, "{aged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_run_before_does_not_take_over_though_nobody_is_alive() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut old = Stepped::start(&db, 0, 1, 10).await;
    old.step().await;
    drop(Stepped::start(&db, 0, 2, 10).await);
    sql(&mut conn, "DELETE FROM evenfold.heartbeats").await;
    let ended = old.failure().await;
    assert!(matches!(ended, WorkerError::Superseded { by: 2, .. }), "{ended}: two sets would take turns");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_paused_and_counted_as_dead_commits_nothing_when_it_goes_on() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::start(&db, 0, 1, 2).await;
    let mut paused = Stepped::team(&db, 2, 2).await;
    for id in ids_in(partition(0, 2), 3) {
        append_one(&mut conn, &id, 1).await;
    }
    assert!(matches!(paused[0].step().await, Step::Applied(_)), "a window is open, and more of it in memory");
    sql(&mut conn, "UPDATE evenfold.heartbeats SET beat_at = beat_at - interval '60 s'").await;
    sql(&mut conn, "UPDATE evenfold.checkpoints SET moved_at = moved_at - interval '60 s'").await;
    let mut replaced = Stepped::start(&db, 0, 1, 2).await;
    assert_eq!(replaced.drain().await, 1);
    let ended = paused[0].failure().await.to_string();
    assert!(ended.contains("has gone on with 1 partitions"), "{ended}");
    assert_all_applied_once(&mut conn).await;
}
