//! Heartbeats as they are in the table: who is at work, and since when it has not been seen.

use crate::class::Class;
use crate::database::Schema;
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// The longest pause between two heartbeats.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(2);

/// A worker whose last sign of life, a heartbeat or a commit, is this old is shown as one that is not at work: three
/// heartbeats at the longest pause were missed. Nothing is decided by that: see [`DEAD_AFTER`].
pub const SILENT_AFTER: Duration = Duration::from_secs(6);

/// A worker is taken for dead whose last sign of life, a heartbeat or a commit, is this old: longer than a server needs
/// to come back after a failover, during which nobody's heartbeat is written. It may be alive, paused or cut off from
/// the table. Nothing is lost then: whoever takes over gives the checkpoints new revisions, and what the other one
/// commits later is rolled back.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

/// What the state of a worker begins with that can't work on its partition; the reason follows.
pub const RETRYING: &str = "retrying: ";

/// What the state of a worker begins with that waits because another number of partitions has replaced its own.
pub const SUPERSEDED: &str = "superseded";

/// What a worker says of itself, every few seconds.
#[derive(Debug, Clone)]
pub struct Beat<'a> {
    /// The worker.
    pub worker: Uuid,
    /// Its projection.
    pub projection: &'a str,
    /// Its partition.
    pub class: Class,
    /// Where it runs: host name and process id.
    pub process: &'a str,
    /// What it is doing, in a few words.
    pub state: String,
    /// Events applied since it started.
    pub applied: u64,
    /// Events per second since the last heartbeat.
    pub per_second: f64,
    /// Time spent on fences, checkpoints, commits and waiting for the database.
    pub coordination: Duration,
    /// Time spent on decoding and folding.
    pub compute: Duration,
}

/// As the table has it.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Writes a worker's heartbeat, and removes those that are more than a day old.
///
/// # Cancel safety
///
/// One statement.
pub async fn beat(schema: &Schema, conn: &mut PgConnection, beat: &Beat<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        schema.sql("WITH gone AS (DELETE FROM evenfold.heartbeats WHERE beat_at < now() - interval '1 day' AND worker <> $1)
         INSERT INTO evenfold.heartbeats (worker, projection, partition_key, total_partitions, process, state, applied,
             coordination_ms, compute_ms, per_second)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (worker) DO UPDATE SET state = excluded.state, applied = excluded.applied,
             per_second = excluded.per_second, coordination_ms = excluded.coordination_ms, compute_ms = excluded.compute_ms, beat_at = now()"),
    )
    .bind(beat.worker)
    .bind(beat.projection)
    .bind(i64::from(beat.class.residue()))
    .bind(i64::from(beat.class.modulus()))
    .bind(beat.process)
    .bind(&beat.state)
    .bind(i64::try_from(beat.applied).unwrap_or(i64::MAX))
    .bind(millis(beat.coordination))
    .bind(millis(beat.compute))
    .bind(beat.per_second)
    .execute(conn)
    .await?;
    Ok(())
}

/// The process, as host and process id, of a worker of this projection and total that is alive: of any partition, or of
/// this one; other than `except`. None if there is none. By the database's clock.
///
/// # Cancel safety
///
/// Reads only.
pub async fn alive(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    total: u32,
    key: Option<u32>,
    except: Option<Uuid>,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(schema.sql(include_str!("alive.sql")))
        .bind(projection)
        .bind(i64::from(total))
        .bind(key.map(i64::from))
        .bind(except)
        .bind(DEAD_AFTER.as_secs_f64())
        .fetch_optional(conn)
        .await
}

/// Removes the heartbeat of a worker that stops.
///
/// # Cancel safety
///
/// One statement.
pub async fn forget_beat(schema: &Schema, conn: &mut PgConnection, worker: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql("DELETE FROM evenfold.heartbeats WHERE worker = $1")).bind(worker).execute(conn).await?;
    Ok(())
}

/// How long ago a worker of the projection last wrote a heartbeat; none if no worker is at work. Those that are killed
/// leave theirs behind, for a day at most.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn last_beat(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
) -> Result<Option<Duration>, sqlx::Error> {
    let seconds: Option<f64> = sqlx::query_scalar(
        schema.sql("SELECT extract(epoch FROM clock_timestamp() - max(beat_at))::float8 FROM evenfold.heartbeats WHERE projection = $1"),
    )
    .bind(projection)
    .fetch_one(conn)
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}
