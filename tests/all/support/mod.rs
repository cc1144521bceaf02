//! What the tests share: a database each, workers, and waiting.

#[cfg(feature = "containers")]
mod container;
mod process;
mod server;

pub use process::Evenfold;
pub use server::TestDb;

use evenfold::class::Class;
use evenfold::counter::AmountPointer;
use evenfold::event::NewEvent;
use evenfold::log::{self, Appended};
use evenfold::projection::counters::{Counters, mismatches};
use evenfold::projection::{Applied, Step, Worker, WorkerOptions};
use serde_json::json;
use sqlx::PgConnection;
use std::time::{Duration, Instant};

/// How long anything may take that should happen at once.
pub const SOON: Duration = Duration::from_secs(30);

pub fn pointer() -> AmountPointer {
    "/amount".parse().unwrap()
}

/// A worker of the counters, with batches of this many events.
pub fn worker_of(class: Class, batch_size: usize) -> Worker<Counters> {
    let options = WorkerOptions { batch_size, takeover_after: Duration::from_millis(300), ..WorkerOptions::default() };
    Worker::new(class, Counters::new(pointer(), 1_000), options)
}

/// The only worker of a log that is not partitioned, ready to step.
pub async fn only_worker(conn: &mut PgConnection, batch_size: usize) -> Worker<Counters> {
    let mut worker = worker_of(Class::partition(0, 1).unwrap(), batch_size);
    worker.register(conn).await.unwrap();
    worker
}

pub fn event(aggregate_id: &str, amount: i64) -> NewEvent {
    NewEvent::new("t", aggregate_id, "added", &json!({ "amount": amount })).unwrap()
}

pub async fn append_one(conn: &mut PgConnection, aggregate_id: &str, amount: i64) -> Appended {
    log::append(conn, &[event(aggregate_id, amount)]).await.unwrap()[0]
}

/// Steps until nothing is left, and gives the number of events applied.
pub async fn drain(worker: &mut Worker<Counters>, conn: &mut PgConnection) -> u64 {
    let mut total = 0;
    loop {
        match worker.step(conn).await.unwrap() {
            Step::Applied(Applied { events, .. }) => total += events,
            Step::CaughtUp => return total,
            Step::Converged | Step::Outrun | Step::StandingBy => {}
        }
    }
}

/// Fails unless every counter is what the log says.
pub async fn assert_counters_agree(conn: &mut PgConnection) {
    let differ = mismatches(conn, &pointer(), 10).await.unwrap();
    assert!(differ.is_empty(), "{differ:#?}");
}

/// The value and the version of a counter; none if it has no row.
pub async fn counter(conn: &mut PgConnection, aggregate_id: &str) -> Option<(i64, i64)> {
    sqlx::query_as("SELECT value, version FROM counters WHERE aggregate_id = $1")
        .bind(aggregate_id)
        .fetch_optional(conn)
        .await
        .unwrap()
}

pub async fn scalar(conn: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

/// Waits for a condition, and fails if it does not come.
pub async fn wait_until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < limit, "waited {limit:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
