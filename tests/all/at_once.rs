//! A worker that has everything there is moves its checkpoint and writes its counters in one statement.

use crate::support::{
    TestDb, append_one, assert_all_applied_once, drain, event, only_worker, partition, scalar, worker_of,
};
use evenfold::checkpoint::CheckpointMove;
use evenfold::event::NewEvent;
use evenfold::log;
use evenfold::projection::{AtOnce, Batch, BoxError, Projection, Step, Worker, WorkerError, WorkerOptions};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};

/// What this connection has prepared that writes.
async fn writing(conn: &mut PgConnection) -> Vec<String> {
    let sql =
        "SELECT statement FROM pg_prepared_statements WHERE statement ~ 'commit_counters|INTO evenfold|UPDATE evenfold'
               AND statement !~ 'pg_prepared_statements|evenfold.events|projections|topologies'";
    sqlx::query_scalar(sql).fetch_all(conn).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checkpoint_and_the_counters_of_all_there_is_are_written_by_one_statement() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut conn, 100).await;
    let before = writing(&mut conn).await;
    for round in 1..=3 {
        append_one(&mut other, "a", round).await;
        append_one(&mut other, &format!("new {round}"), round).await;
        assert_eq!(drain(&mut worker, &mut conn).await, 2);
    }
    // One that must read its counters first.
    let mut worker = worker_of(partition(0, 1), 100);
    append_one(&mut other, "a", 7).await;
    assert!(matches!(worker.step(&mut conn).await.unwrap(), Step::Applied(_)));
    let written: Vec<String> = writing(&mut conn).await.into_iter().filter(|s| !before.contains(s)).collect();
    assert!(written.len() == 1 && written[0].contains("evenfold.commit_counters("), "{written:#?}");
    assert_all_applied_once(&mut conn).await;
}

/// What a worker's step does after another one has moved its checkpoint. The function may lack a condition.
async fn step_after_another_worker(db: &TestDb, condition: &str) -> Step {
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let sql = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'commit_counters'";
    let function: String = sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap();
    assert!(function.contains(condition));
    sqlx::raw_sql(AssertSqlSafe(function.replace(condition, ""))).execute(&mut conn).await.unwrap();
    let mut slow = only_worker(&mut conn, 100).await;
    append_one(&mut conn, "a", 1).await;
    assert_eq!(drain(&mut slow, &mut conn).await, 1);
    append_one(&mut conn, "a", 2).await;
    append_one(&mut conn, "b", 3).await;
    let mut fast = worker_of(partition(0, 1), 100);
    assert_eq!(drain(&mut fast, &mut other).await, 2);
    append_one(&mut conn, "a", 4).await;
    let step = slow.step(&mut conn).await.unwrap();
    let written = scalar(&mut other, "SELECT sum(value)::bigint FROM evenfold.counters").await;
    assert_eq!(written, if step == Step::Outrun { 6 } else { 10 });
    step
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_checkpoint_was_moved_meanwhile_writes_no_counter() {
    let db = TestDb::new().await;
    assert_eq!(step_after_another_worker(&db, "").await, Step::Outrun);
    // Were the revision not asked for, this would be found.
    let db = TestDb::new().await;
    let step = step_after_another_worker(&db, " AND c.revision = of_revision").await;
    assert!(matches!(step, Step::Applied(_)), "{step:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_somebody_has_removed_fails_the_batch_and_the_checkpoint_stays() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut conn, 100).await;
    append_one(&mut conn, "a", 1).await;
    append_one(&mut conn, "b", 1).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 2);
    sqlx::raw_sql("DELETE FROM evenfold.counters WHERE aggregate_id = 'b'").execute(&mut other).await.unwrap();
    let revision = scalar(&mut other, "SELECT revision FROM evenfold.checkpoints").await;
    log::append(&mut other, &[event("a", 1), event("b", 1)]).await.unwrap();
    let refused = worker.step(&mut conn).await.unwrap_err();
    let (text, is_final) = (refused.to_string(), refused.is_final());
    assert!(text.contains("1 counters that this worker has read or written are not in the table any more"), "{text}");
    assert!(!is_final && !matches!(refused, WorkerError::Superseded { .. }));
    assert_eq!(scalar(&mut other, "SELECT revision FROM evenfold.checkpoints").await, revision);
    assert_eq!(scalar(&mut other, "SELECT value FROM evenfold.counters WHERE aggregate_id = 'a'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_an_event_that_is_parked_is_a_transaction_and_everything_of_it_is_counted_once() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 100).await;
    append_one(&mut conn, "a", 1).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 1);
    let bad = NewEvent::new("t", "bad", "added", &json!({ "amount": "many" })).unwrap();
    log::append(&mut conn, &[event("a", 2), bad, event("b", 4)]).await.unwrap();
    assert_eq!(drain(&mut worker, &mut conn).await, 2);
    append_one(&mut conn, "a", 8).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 1);
    let counted = "SELECT sum(value)::bigint * 100 + sum(events)::bigint FROM evenfold.counters";
    assert_eq!(scalar(&mut conn, counted).await, 1_504);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 1);
}

/// Its statements are planned once, when the table is small, and are in a function, where no EXPLAIN shows them.
#[tokio::test(flavor = "multi_thread")]
async fn counters_are_found_by_their_index_though_the_table_has_grown_since_the_first_batch() {
    let db = TestDb::new().await;
    let mut conn = db.database.by_index().connect().await.unwrap();
    let mut worker = only_worker(&mut conn, 100).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    let grow = "INSERT INTO evenfold.counters SELECT 't', 'more' || n, 1, 1, 1, n FROM generate_series(1, 20000) n";
    sqlx::raw_sql(grow).execute(&mut conn).await.unwrap();
    let read = "SELECT sum(seq_tup_read)::bigint FROM pg_stat_xact_user_tables WHERE relname = 'counters'";
    let mut tx = sqlx::Connection::begin(&mut conn).await.unwrap();
    let before = scalar(&mut tx, read).await;
    let call =
        "SELECT evenfold.commit_counters('counters', 1, 0, (SELECT revision FROM evenfold.checkpoints), '5:5:', 1, '5',
                    NULL, gen_random_uuid(), 2, '{t,t}', '{a,more7}', '{3,2}', '{3,2}', '{3,2}', '{99999,99999}')";
    sqlx::raw_sql(call).execute(&mut *tx).await.unwrap();
    assert_eq!(scalar(&mut tx, read).await - before, 0, "rows that were read one after the other");
    assert_eq!(scalar(&mut tx, "SELECT count(*) FROM evenfold.counters WHERE last_position = 99999").await, 2);
}

/// One that does not say that it may be applied at once, as a user's own.
#[derive(Default)]
struct Usual(usize);

impl Projection for Usual {
    fn name(&self) -> &'static str {
        "usual"
    }

    async fn apply(&mut self, _: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        self.0 += batch.events().count();
        Ok(())
    }

    async fn apply_at_once(
        &mut self,
        _: &mut PgConnection,
        _: &mut Batch<'_>,
        _: CheckpointMove<'_>,
    ) -> Result<AtOnce, BoxError> {
        Err("it was asked".into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_batch_of_a_projection_that_may_not_be_applied_at_once_is_made_once() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = Worker::new(partition(0, 1), Usual::default(), WorkerOptions::default());
    worker.register(&mut conn).await.unwrap();
    append_one(&mut conn, "a", 1).await;
    append_one(&mut conn, "b", 1).await;
    assert!(matches!(worker.step(&mut conn).await.unwrap(), Step::Applied(applied) if applied.events == 2));
    assert_eq!(worker.projection().0, 2);
}
