//! Histories that the model of the protocol (`tests/model`) came upon, against a real PostgreSQL.

use crate::support::{
    LOCKED_OUT, SOON, TestDb, append_one, assert_counters_agree, counter, drain, only_worker, scalar, wait_until,
    worker_of,
};
use evenfold::class::Class;
use evenfold::projection::{Step, WorkerError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Makes the function that returns this connection's snapshot wait for whoever has the advisory lock 1: VOLATILE, it
/// returns the snapshot after that, STABLE, as the real one, that of the statement.
async fn delay_snapshots(conn: &mut PgConnection, volatility: &str) {
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE FUNCTION public.pg_current_snapshot() RETURNS pg_snapshot LANGUAGE plpgsql {volatility} AS $$
         BEGIN
             PERFORM pg_advisory_xact_lock(1);
             RETURN pg_catalog.pg_current_snapshot();
         END $$;
         SET search_path = public, pg_catalog",
    )))
    .execute(conn)
    .await
    .unwrap();
}

/// A worker that has found nothing to do looks again, or, as it would after a restart, for the first time, and an event
/// is appended in the middle of that.
async fn an_event_in_the_middle_of_a_look_is_not_missed(volatility: &str, first: bool) {
    let db = TestDb::new().await;
    let (mut reader, mut writer, mut gate) = (db.connect().await, db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut reader, 10).await;
    append_one(&mut writer, "a", 1).await;
    delay_snapshots(&mut reader, volatility).await;
    assert_eq!(drain(&mut worker, &mut reader).await, 1);
    assert_eq!(worker.step(&mut reader).await.unwrap(), Step::CaughtUp, "nobody is in progress");
    if first {
        worker = only_worker(&mut reader, 10).await;
    }

    let mut closed = gate.begin().await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_xact_lock(1)").execute(&mut *closed).await.unwrap();
    let step = tokio::spawn(async move { (worker.step(&mut reader).await.unwrap(), worker, reader) });
    wait_until("the worker to be in the middle", SOON, async || scalar(&mut writer, LOCKED_OUT).await == 1).await;
    append_one(&mut writer, "a", 10).await;
    closed.commit().await.unwrap();
    let (_, mut worker, mut reader) = step.await.unwrap();
    append_one(&mut writer, "a", 100).await;
    drain(&mut worker, &mut reader).await;
    assert_eq!(counter(&mut writer, "a").await, Some((111, 3)));
    assert_counters_agree(&mut writer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_between_the_two_reads_of_a_fence_on_a_quiet_log_is_not_missed() {
    an_event_in_the_middle_of_a_look_is_not_missed("VOLATILE", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_after_the_snapshot_of_a_look_is_found_by_the_next_one() {
    an_event_in_the_middle_of_a_look_is_not_missed("STABLE", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_superseded_by_a_multiple_of_its_total_though_its_rows_are_all_there() {
    let db = TestDb::new().await;
    let (mut one, mut two) = (db.connect().await, db.connect().await);
    let mut straggler = only_worker(&mut one, 10).await;
    append_one(&mut two, "a", 1).await;
    assert_eq!(drain(&mut straggler, &mut one).await, 1);

    worker_of(Class::partition(0, 2).unwrap(), 10).register(&mut two).await.unwrap();
    append_one(&mut two, "a", 1).await;
    assert_eq!(straggler.step(&mut one).await.unwrap(), Step::Outrun, "the rows were split");
    let error = straggler.step(&mut one).await.unwrap_err();
    assert!(matches!(error, WorkerError::Superseded { by: 2, .. }), "{error}");
}
