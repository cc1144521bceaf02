use super::lag;
use super::store::class_of;
use crate::class::{Class, is_exact_cover};
use crate::log::Interest;
use sqlx::{PgConnection, Row};

/// How a projection stands, read from the database alone: right also when every worker is dead.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Status {
    /// Its name.
    pub projection: String,
    /// Its number of partitions; none before the first worker.
    pub total_partitions: Option<i64>,
    /// Numbers of partitions that were replaced, and how many seconds ago.
    pub superseded: Vec<(i64, f64)>,
    /// Whether the classes are disjoint and together hold every hash.
    pub cover_complete: bool,
    /// Seconds since the oldest transaction that has appended and is still open began; none if there is none.
    pub oldest_append_open_seconds: Option<f64>,
    /// One entry per checkpoint.
    pub classes: Vec<ClassStatus>,
}

/// How one class stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ClassStatus {
    /// The class, as residue/modulus.
    pub class: String,
    /// The last position up to which it has been looked at.
    pub position: i64,
    /// Committed events that are not applied.
    pub behind: u64,
    /// Age of the oldest of them, in seconds.
    pub behind_seconds: f64,
    /// The process of the worker that wrote last: host and process id; none if it is not running.
    pub owner: Option<String>,
    /// What that worker says it is doing.
    pub state: Option<String>,
    /// Seconds since its last heartbeat.
    pub heartbeat_seconds: Option<f64>,
    /// Events per second that it applied between its last two heartbeats.
    pub per_second: Option<f64>,
    /// Aggregates that are parked.
    pub parked: i64,
}

/// Reads how a projection stands, in one transaction of its own snapshot.
///
/// # Cancel safety
///
/// Reads only.
pub async fn status(conn: &mut PgConnection, projection: &str) -> Result<Status, sqlx::Error> {
    let mut tx = sqlx::Connection::begin(conn).await?;
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    let topologies: Vec<(i64, Option<f64>)> = sqlx::query_as(
        "SELECT total, extract(epoch FROM now() - superseded_at)::float8 FROM topologies WHERE projection = $1
         ORDER BY superseded_at DESC",
    )
    .bind(projection)
    .fetch_all(&mut *tx)
    .await?;
    // Whoever has appended holds this lock on the table until its transaction ends. Locks are the cluster's, and the
    // tables of another database may have the same numbers.
    let oldest_append_open_seconds = sqlx::query_scalar(
        "SELECT max(extract(epoch FROM clock_timestamp() - a.xact_start))::float8
         FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'relation' AND l.relation = 'events'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_one(&mut *tx)
    .await?;
    let behind = lag::count(&mut tx, Some(projection), None, &Interest::everything()).await?;
    let rows = sqlx::query(include_str!("status.sql")).bind(projection).fetch_all(&mut *tx).await?;
    let mut classes = Vec::with_capacity(rows.len());
    let mut cover = Vec::with_capacity(rows.len());
    for row in &rows {
        let class = class_of(row, 0)?;
        cover.push(class);
        let lag = behind.iter().find(|row| row.class == class).map(|row| row.lag).unwrap_or_default();
        classes.push(ClassStatus {
            class: class.to_string(),
            position: row.try_get(2)?,
            behind: lag.events,
            behind_seconds: lag.age.as_secs_f64(),
            owner: row.try_get(3)?,
            state: row.try_get(4)?,
            heartbeat_seconds: row.try_get(5)?,
            per_second: row.try_get(6)?,
            parked: row.try_get(7)?,
        });
    }
    let whole = Class::partition(0, 1).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Status {
        projection: projection.to_owned(),
        total_partitions: topologies.iter().find(|(_, ago)| ago.is_none()).map(|(total, _)| *total),
        superseded: topologies.iter().filter_map(|(total, ago)| Some((*total, (*ago)?))).collect(),
        cover_complete: is_exact_cover(whole, &cover),
        oldest_append_open_seconds,
        classes,
    })
}
