//! Erasing while workers run: each event is applied once, whole, and nothing of it after it was erased.

use crate::erase::{ERASED_EVENTS, SOME, erase};
use crate::support::{
    LOCKED_OUT, SOON, TestDb, append_one, assert_counters_agree, counter, drain, only_worker, scalar, wait_until,
};
use evenfold::checkpoint::erasures;
use evenfold::class::Class;
use evenfold::event::ERASED;
use evenfold::projection::{Applied, Batch, BoxError, Projection, Step, Worker, WorkerOptions};
use evenfold::schema::Schema;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Writes down what it was given, in two statements between which it waits.
struct Twice {
    reached: Arc<Semaphore>,
    go_on: Arc<Semaphore>,
}

impl Twice {
    fn new() -> (Self, Arc<Semaphore>, Arc<Semaphore>) {
        let (reached, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        (Self { reached: Arc::clone(&reached), go_on: Arc::clone(&go_on) }, reached, go_on)
    }
}

impl Projection for Twice {
    fn name(&self) -> &'static str {
        "twice"
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        sqlx::raw_sql("CREATE TABLE seen (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, nth int, payload text, erased boolean)")
            .execute(conn)
            .await?;
        Ok(())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        batch.make_view(conn).await?;
        for event in batch.events() {
            sqlx::query("INSERT INTO seen (nth, payload, erased) VALUES (0, $1, $2)")
                .bind(event.payload)
                .bind(event.is_erased())
                .execute(&mut *conn)
                .await?;
        }
        for nth in 1..=2 {
            sqlx::query("INSERT INTO seen (nth, payload, erased) SELECT $1, payload::text, erased FROM batch")
                .bind(nth)
                .execute(&mut *conn)
                .await?;
            self.reached.add_permits(1);
            self.go_on.acquire().await?.forget();
        }
        Ok(())
    }
}

async fn seen(conn: &mut PgConnection) -> Vec<(i32, String, bool)> {
    sqlx::query_as("SELECT nth, payload, erased FROM seen ORDER BY id").fetch_all(conn).await.unwrap()
}

fn one_worker(projection: Twice) -> Worker<Twice> {
    Worker::new(Class::partition(0, 1).unwrap(), projection, WorkerOptions::default())
}

/// An event is in a batch as it was or as it is, in all statements of it: what erases it waits for the batch.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_not_erased_in_the_midst_of_a_batch_that_has_it() {
    let db = TestDb::new().await;
    let (mut conn, mut of_worker, mut of_erasure) = (db.connect().await, db.connect().await, db.connect().await);
    let (projection, reached, go_on) = Twice::new();
    let mut worker = one_worker(projection);
    worker.register(&mut of_worker).await.unwrap();
    append_one(&mut conn, "a", 7).await;
    let working = tokio::spawn(async move { worker.step(&mut of_worker).await.unwrap() });
    reached.acquire().await.unwrap().forget();
    let erasing = tokio::spawn(async move { erase(&mut of_erasure, "a").await });
    wait_until("the erasure to wait", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 1).await;
    go_on.add_permits(2);
    assert!(matches!(working.await.unwrap(), Step::Applied(Applied { events: 1, .. })));
    assert_eq!(erasing.await.unwrap(), 1);
    let was = r#"{"amount":7}"#.to_owned();
    assert_eq!(seen(&mut conn).await, [(0, was.clone(), false), (1, was.clone(), false), (2, was, false)]);
    assert_eq!(scalar(&mut conn, ERASED_EVENTS).await, 1);
    // It is on record who has it still.
    assert_eq!(erasures(&Schema::default(), &mut conn).await.unwrap()[0].read_models, ["twice"]);
}

/// A worker that has read an event when it is erased, and has not applied it yet, reads it again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_an_erasure_is_not_applied_after_it() {
    let db = TestDb::new().await;
    let (mut conn, mut of_worker, mut of_erasure) = (db.connect().await, db.connect().await, db.connect().await);
    let (projection, _, go_on) = Twice::new();
    go_on.add_permits(100);
    let mut worker = one_worker(projection);
    worker.register(&mut of_worker).await.unwrap();
    append_one(&mut conn, "a", 7).await;
    let mut tx = of_erasure.begin().await.unwrap();
    assert_eq!(scalar(&mut tx, SOME).await, 1);
    let working = tokio::spawn(async move {
        let first = worker.step(&mut of_worker).await.unwrap();
        while worker.step(&mut of_worker).await.unwrap() != Step::CaughtUp {}
        first
    });
    // It has read: what it waits for is its checkpoint.
    wait_until("the worker to wait", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 1).await;
    tx.commit().await.unwrap();
    assert_eq!(working.await.unwrap(), Step::Outrun);
    let is = ERASED.to_owned();
    assert_eq!(seen(&mut conn).await, [(0, is.clone(), true), (1, is.clone(), true), (2, is, true)]);
    assert!(erasures(&Schema::default(), &mut conn).await.unwrap()[0].read_models.is_empty());
}

/// Its checkpoint would be none of those that the erasure has locked.
#[tokio::test(flavor = "multi_thread")]
async fn no_projection_begins_while_events_are_erased() {
    let db = TestDb::new().await;
    let (mut conn, mut of_worker, mut of_erasure) = (db.connect().await, db.connect().await, db.connect().await);
    append_one(&mut conn, "a", 7).await;
    let mut tx = of_erasure.begin().await.unwrap();
    assert_eq!(scalar(&mut tx, SOME).await, 1);
    let beginning = tokio::spawn(async move { only_worker(&mut of_worker, 10).await });
    wait_until("the worker to wait", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 1).await;
    tx.commit().await.unwrap();
    let mut worker = beginning.await.unwrap();
    assert_eq!(drain(&mut worker, &mut conn).await, 1);
    assert_eq!(counter(&mut conn, "a").await, Some((0, 1)));
}

/// Writers, workers and erasures at once: every event is counted once, and every aggregate erased up to its record.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_erased_while_others_append_and_workers_run_every_event_is_applied_once() {
    let db = TestDb::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..2 {
        let mut conn = db.connect().await;
        tasks.spawn(async move {
            for n in 0..60 {
                append_one(&mut conn, &format!("id{}", (n * 7 + writer) % 5), 1).await;
            }
        });
    }
    for eraser in 0..2 {
        let mut conn = db.connect().await;
        tasks.spawn(async move {
            for n in 0..15 {
                erase(&mut conn, &format!("id{}", (n + eraser * 2) % 5)).await;
            }
        });
    }
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 3).await;
    let applied = tokio::spawn(async move {
        let mut applied = 0;
        while applied < 120 {
            if let Step::Applied(Applied { events, .. }) = worker.step(&mut conn).await.unwrap() {
                applied += events;
            }
        }
        applied
    });
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(applied.await.unwrap(), 120);
    let mut conn = db.connect().await;
    assert_counters_agree(&mut conn).await;
    assert_eq!(scalar(&mut conn, "SELECT sum(events)::bigint FROM evenfold.counters").await, 120);
    let recorded = "SELECT sum(events)::bigint FROM evenfold.erasures WHERE finished_at IS NOT NULL";
    assert_eq!(scalar(&mut conn, recorded).await, scalar(&mut conn, ERASED_EVENTS).await);
    let missed = "SELECT count(*) FROM evenfold.events e WHERE payload::text NOT LIKE '%evenfold_erased%'
        AND version <= (SELECT max(version) FROM evenfold.erasures r WHERE r.aggregate_id = e.aggregate_id)";
    assert_eq!(scalar(&mut conn, missed).await, 0);
}
