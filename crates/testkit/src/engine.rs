//! The engine's own: workers of the counters, appended events, and what is read back.

use evenfold::class::Class;
use evenfold::counter::AmountPointer;
use evenfold::counters::{Counters, mismatches};
use evenfold::event::NewEvent;
use evenfold::log::{self, Appended};
use evenfold::projection::{Applied, Step, Worker, WorkerOptions};
use evenfold::schema::Schema;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::Duration;

/// How many connections of this database wait for a lock.
pub const LOCKED_OUT: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

pub fn pointer() -> AmountPointer {
    "/amount".parse().unwrap()
}

/// A worker of the counters, with batches of this many events.
pub fn worker_of(class: Class, batch_size: usize) -> Worker<Counters> {
    let options = WorkerOptions::default().batch_size(batch_size).takeover_after(Duration::from_millis(300));
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

/// Inserts an event into the log of `t` as another writer would, with this JSON text for a payload.
pub async fn insert(conn: &mut PgConnection, id: &str, version: i64, payload: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
         VALUES ($2, 't', $1, 'added', $3::text::json) RETURNING position",
    )
    .bind(id)
    .bind(version)
    .bind(payload)
    .fetch_one(conn)
    .await
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
    let differ = mismatches(&Schema::default(), conn, &pointer(), 10).await.unwrap();
    assert!(differ.is_empty(), "{differ:#?}");
}

/// The value and the version of a counter; none if it has no row.
pub async fn counter(conn: &mut PgConnection, aggregate_id: &str) -> Option<(i64, i64)> {
    sqlx::query_as("SELECT value, version FROM evenfold.counters WHERE aggregate_id = $1")
        .bind(aggregate_id)
        .fetch_optional(conn)
        .await
        .unwrap()
}

pub async fn scalar(conn: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

/// Has the database note in `noted` what `synchronous_commit` is in each session that inserts into this table. New
/// sessions have `remote_write` unless they say otherwise: the server that tests share does not wait for the disk.
pub async fn note_synchronous_commit(conn: &mut PgConnection, table: &str) {
    let noting = format!(
        "DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET synchronous_commit = remote_write', current_database());
        END $$;
        CREATE TABLE noted (setting text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.noted VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
        CREATE TRIGGER noting AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION note()"
    );
    sqlx::raw_sql(AssertSqlSafe(noting)).execute(conn).await.unwrap();
}
