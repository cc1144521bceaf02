//! A failure that passes while a pool starts costs time, and no partition; it is an error in the log, and seen in the
//! status.

use crate::support::{
    Evenfold, LOCKED_OUT, SOON, Stepped, TestDb, append_one, assert_all_applied_once, counted, ids_in, partition,
    scalar, wait_until, worker_of,
};
use evenfold::checkpoint::status;
use evenfold::class::Class;
use evenfold::counters::NAME;
use evenfold::projection::{Phase, Pool, PoolWorker, RunOptions};
use evenfold::schema::Schema;
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Ends the sessions that wait for a lock.
const END_LOCKED_OUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

async fn sql(conn: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

/// A projection of four partitions of which no worker is at work.
async fn begun() -> TestDb {
    let db = TestDb::new().await;
    Stepped::team(&db, 4, 10).await;
    sql(&mut db.connect().await, "DELETE FROM evenfold.heartbeats").await;
    db
}

fn pool_of_four(db: &TestDb, database_timeout: Duration, stop: &CancellationToken) -> (Pool, Vec<PoolWorker>) {
    let heartbeat_interval = Duration::from_millis(100);
    let options = RunOptions::default().database_timeout(database_timeout).heartbeat_interval(heartbeat_interval);
    let partitions: Vec<Class> = (0..4).map(|key| partition(key, 4)).collect();
    let pool = Pool::start(&db.database, &partitions, |class| worker_of(class, 10), &options, stop).unwrap();
    let members = pool.members().to_vec();
    (pool, members)
}

/// Waits until each partition is worked on, has each apply an event, and ends the pool.
async fn goes_on(db: &TestDb, mut pool: Pool, members: &[PoolWorker], stop: &CancellationToken) {
    let mut conn = db.connect().await;
    wait_until("all to be at work", SOON, async || {
        members.iter().all(|member| member.progress.phase() == Phase::CaughtUp && member.trouble().is_none())
    })
    .await;
    assert_eq!(pool.troubles(), []);
    for key in 0..4 {
        append_one(&mut conn, &ids_in(partition(key, 4), 1)[0], 1).await;
    }
    wait_until("their events", SOON, async || members.iter().all(|member| member.progress.applied() == 1)).await;
    stop.cancel();
    while let Some((partition, ended)) = pool.ended().await {
        assert_eq!(ended.unwrap().applied, 1, "{partition}");
    }
    assert_all_applied_once(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_ended_while_they_register_are_opened_again_and_the_reason_is_in_the_status() {
    let db = begun().await;
    let (mut conn, mut blocker, stop) = (db.connect().await, db.connect().await, CancellationToken::new());
    let mut lock = blocker.begin().await.unwrap();
    sql(&mut lock, "SELECT FROM evenfold.projections FOR UPDATE").await;
    let (pool, members) = pool_of_four(&db, Duration::from_mins(1), &stop);
    wait_until("all to register", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 4).await;
    assert_eq!(pool.troubles(), [], "to wait for a lock is no failure yet");
    sql(&mut conn, END_LOCKED_OUT).await;

    wait_until("all to fail", SOON, async || pool.troubles().len() == 4).await;
    let trouble = members[0].trouble().unwrap();
    assert!(trouble.failures >= 1 && trouble.since <= Instant::now(), "{trouble:?}");
    assert!(trouble.next_try.is_some_and(|at| at < Instant::now() + SOON) && !trouble.why.is_empty(), "{trouble:?}");
    wait_until("the status to say why", SOON, async || {
        let status = status(&Schema::default(), &mut conn, NAME).await.unwrap();
        status.classes.iter().all(|class| class.idle.as_ref().is_some_and(|why| why.contains("can't work on it: ")))
    })
    .await;
    lock.rollback().await.unwrap();
    goes_on(&db, pool, &members, &stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_by_itself_or_is_mended_in_the_database_is_tried_again() {
    // A deadlock, a transaction that can't be serialized, a lock that was not granted in time, a time limit.
    for code in ["40P01", "40001", "55P03", "57014"] {
        let db = begun().await;
        let (mut conn, stop) = (db.connect().await, CancellationToken::new());
        let fails = format!(
            "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = 'of code {code}'; END $$;
             CREATE TRIGGER fails BEFORE INSERT ON evenfold.projections EXECUTE FUNCTION fails()"
        );
        sqlx::raw_sql(AssertSqlSafe(fails)).execute(&mut conn).await.unwrap();
        let (pool, members) = pool_of_four(&db, Duration::from_mins(1), &stop);
        wait_until("all to fail", SOON, async || pool.troubles().len() == 4).await;
        assert!(members[3].trouble().unwrap().why.contains(code), "{members:?}");
        sql(&mut conn, "DROP TRIGGER fails ON evenfold.projections").await;
        goes_on(&db, pool, &members, &stop).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_fit_is_waited_for_until_an_operator_has_mended_it() {
    let db = begun().await;
    let (mut conn, stop) = (db.connect().await, CancellationToken::new());
    sql(&mut conn, "UPDATE evenfold.log_origin SET system_identifier = system_identifier + 1").await;
    let (pool, members) = pool_of_four(&db, Duration::from_mins(1), &stop);
    wait_until("all to fail twice", SOON, async || {
        members.iter().all(|member| member.trouble().is_some_and(|trouble| trouble.failures > 1))
    })
    .await;
    assert!(members[0].trouble().unwrap().why.contains("restored from another"), "{members:?}");
    sql(&mut conn, "UPDATE evenfold.log_origin SET system_identifier = system_identifier - 1").await;
    goes_on(&db, pool, &members, &stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_waits_for_too_long_times_out_and_is_tried_again() {
    let db = begun().await;
    let (mut blocker, stop) = (db.connect().await, CancellationToken::new());
    let mut lock = blocker.begin().await.unwrap();
    sql(&mut lock, "LOCK TABLE evenfold.topologies IN ACCESS EXCLUSIVE MODE").await;
    let (pool, members) = pool_of_four(&db, Duration::from_millis(300), &stop);
    wait_until("one to say so", SOON, async || {
        pool.troubles().iter().any(|(_, trouble)| trouble.why.contains("registering took longer than 300ms"))
    })
    .await;
    lock.rollback().await.unwrap();
    goes_on(&db, pool, &members, &stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_process_logs_an_error_for_each_partition_that_waits_and_goes_on_by_itself() {
    let db = TestDb::new().await;
    let (mut conn, mut blocker) = (db.connect().await, db.connect().await);
    for n in 0..40 {
        append_one(&mut conn, &format!("a{n}"), 1).await;
    }
    let mut lock = blocker.begin().await.unwrap();
    sql(&mut lock, "LOCK TABLE evenfold.topologies").await;
    let mut pool = Evenfold::spawn(&["pool", "--workers=4", "--database-url", &db.url]);
    wait_until("all to register", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 4).await;
    sql(&mut conn, END_LOCKED_OUT).await;
    let errors = |log: &str| log.lines().filter(|line| line.contains("ERROR nobody here works on this")).count();
    wait_until("the errors", SOON, async || errors(&pool.log()) == 4).await;
    lock.rollback().await.unwrap();
    wait_until("all events", SOON, async || counted(&mut conn).await == 40).await;
    pool.signal(Signal::SIGTERM);
    assert_eq!(pool.wait(), 0, "{}", pool.log());
    assert_eq!(errors(&pool.log()), 4, "once a minute, not with each try: {}", pool.log());
}
