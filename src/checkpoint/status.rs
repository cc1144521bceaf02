//! How a projection stands, for whoever looks at it.

use super::answers::Lag;
use super::elsewhere;
use super::heartbeat::{DEAD_AFTER, SUPERSEDED};
use super::idle::Signs;
use super::lag;
use super::store::class_of;
use crate::class::{Class, is_exact_cover};
use crate::database::Schema;
use crate::log::{Interest, OpenSource};
use crate::number::Position;
use sqlx::postgres::PgRow;
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
    /// Workers that wait because another number of partitions has replaced theirs: that number, and how many they are.
    pub waiting: Vec<(i64, i64)>,
    /// Events of the log; none where there are too many to be counted.
    pub events: Option<u64>,
    /// Events of the log that are parked, or were dropped: the read model does not contain them.
    pub parked_events: u64,
    /// One entry per checkpoint.
    pub classes: Vec<ClassStatus>,
}

impl Status {
    /// Whether nobody is at work on any class.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.classes.iter().all(|class| class.idle.is_some())
    }

    /// Committed events that are not applied, of all classes.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.classes.iter().map(|class| class.behind).sum()
    }

    /// How many of the log's events the read model contains, where they were counted: no checkpoint says so of the
    /// events of a class that has none.
    #[must_use]
    pub fn applied(&self) -> Option<u64> {
        if !self.cover_complete {
            return None;
        }
        Some(self.events?.saturating_sub(self.behind()).saturating_sub(self.parked_events))
    }
}

/// How one class stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ClassStatus {
    /// The class, as residue/modulus.
    pub class: String,
    /// The last position up to which it has been looked at.
    pub position: Position,
    /// Committed events that are not applied.
    pub behind: u64,
    /// Age of the oldest of them, in seconds.
    pub behind_seconds: f64,
    /// The process of the worker whose business it is: host and process id; none if no worker has a heartbeat.
    pub owner: Option<String>,
    /// What that worker says it is doing.
    pub state: Option<String>,
    /// Seconds since its last heartbeat.
    pub heartbeat_seconds: Option<f64>,
    /// Events per second that it applied between its last two heartbeats.
    pub per_second: Option<f64>,
    /// Aggregates that are parked.
    pub parked: i64,
    /// Seconds since the checkpoint was written last.
    pub moved_seconds: f64,
    /// Why nobody is at work on it; none if somebody is.
    pub idle: Option<String>,
    /// That the heartbeat of whoever is at work is late, or was within the last minute.
    pub late: Option<String>,
}

/// The events of a log with more positions than this are not counted: that costs what reading them does.
const COUNTED: i64 = 1_000_000;

/// Reads how a projection stands, in one transaction of its own snapshot.
///
/// # Cancel safety
///
/// Reads only.
pub async fn status(schema: &Schema, conn: &mut PgConnection, projection: &str) -> Result<Status, sqlx::Error> {
    status_of(schema, conn, None, projection).await
}

/// [`status`], of a projection of a log that others write. What is behind is counted in the log after the checkpoints
/// were read: never too little.
///
/// # Errors
///
/// The databases'.
///
/// # Cancel safety
///
/// Reads only.
#[doc(hidden)]
pub async fn status_of(
    schema: &Schema,
    conn: &mut PgConnection,
    mut log: Option<&mut OpenSource>,
    projection: &str,
) -> Result<Status, sqlx::Error> {
    let mut tx = sqlx::Connection::begin(conn).await?;
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    let topologies: Vec<(i64, Option<f64>)> = sqlx::query_as(schema.sql(
        "SELECT total, extract(epoch FROM now() - superseded_at)::float8 FROM evenfold.topologies WHERE projection = $1
         ORDER BY superseded_at DESC",
    ))
    .bind(projection)
    .fetch_all(&mut *tx)
    .await?;
    // Whoever has appended holds this lock on the table until its transaction ends. Locks are the cluster's, and the
    // tables of another database may have the same numbers.
    let oldest_append_open_seconds: Option<f64> = sqlx::query_scalar(
        schema.sql("SELECT max(extract(epoch FROM clock_timestamp() - a.xact_start))::float8
         FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'relation' AND l.relation = 'evenfold.events'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"),
    )
    .fetch_one(&mut *tx)
    .await?;
    let whole = Class::partition(0, 1).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    // Of another log's writers a reader may know nothing.
    let oldest_append_open_seconds = oldest_append_open_seconds.filter(|_| log.is_none());
    let behind = match log.as_deref_mut() {
        None => lag::count(schema, &mut tx, Some(projection), None, &Interest::everything()).await?,
        Some(log) => {
            let (last, all) = (Position::new(i64::MAX), Interest::everything());
            elsewhere::count(schema, &mut tx, log, (projection, whole), &all, last).await?
        }
    };
    let total_partitions = topologies.iter().find(|(_, ago)| ago.is_none()).map(|(total, _)| *total);
    let waiting = superseded_workers(schema, &mut tx, projection, total_partitions).await?;
    let (events, parked_events) = counted(schema, &mut tx, log, projection).await?;
    let rows = by_class(schema, &mut tx, projection, total_partitions).await?;
    let mut classes = Vec::with_capacity(rows.len());
    let mut cover = Vec::with_capacity(rows.len());
    for (class, row) in rows {
        cover.push(class);
        let lag = behind.iter().find(|row| row.class == class).map(|row| row.lag).unwrap_or_default();
        classes.push(class_status(&row, class, lag)?);
    }
    Ok(Status {
        projection: projection.to_owned(),
        total_partitions,
        superseded: topologies.iter().filter_map(|(total, ago)| Some((*total, (*ago)?))).collect(),
        cover_complete: is_exact_cover(whole, &cover),
        oldest_append_open_seconds,
        waiting,
        events,
        parked_events,
        classes,
    })
}

/// Workers that wait because another number of partitions has replaced theirs: that number, and how many they are.
pub(super) async fn superseded_workers(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    total_partitions: Option<i64>,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    sqlx::query_as(schema.sql(
        "SELECT total_partitions, count(*) FROM evenfold.heartbeats
         WHERE projection = $1 AND total_partitions IS DISTINCT FROM $2 AND starts_with(state, $3)
           AND beat_at > clock_timestamp() - $4 * interval '1 second'
         GROUP BY total_partitions ORDER BY total_partitions",
    ))
    .bind(projection)
    .bind(total_partitions)
    .bind(SUPERSEDED)
    .bind(DEAD_AFTER.as_secs_f64())
    .fetch_all(conn)
    .await
}

/// Each class, and who is at work on it, for [`class_status`]. How far it is behind is not counted: that costs what
/// reading it does.
pub(super) async fn by_class(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    total_partitions: Option<i64>,
) -> Result<Vec<(Class, PgRow)>, sqlx::Error> {
    sqlx::query(schema.sql(include_str!("status.sql")))
        .bind(projection)
        .bind(total_partitions)
        .bind(DEAD_AFTER.as_secs_f64())
        .fetch_all(conn)
        .await?
        .into_iter()
        .map(|row| Ok((class_of(&row, 0)?, row)))
        .collect()
}

pub(super) fn class_status(row: &PgRow, class: Class, lag: Lag) -> Result<ClassStatus, sqlx::Error> {
    let (owner, state): (Option<String>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
    let (heartbeat_seconds, moved_seconds): (Option<f64>, f64) = (row.try_get(5)?, row.try_get(8)?);
    let beat = owner.as_deref().zip(state.as_deref()).zip(heartbeat_seconds);
    let heartbeat = beat.map(|((process, state), age)| (process, state, age));
    let signs = Signs { heartbeat, wrote: row.try_get(9)?, moved: moved_seconds };
    let (idle, late) = (signs.idle(), signs.late());
    Ok(ClassStatus {
        class: class.to_string(),
        position: row.try_get(2)?,
        behind: lag.events,
        behind_seconds: lag.age.as_secs_f64(),
        owner,
        state,
        heartbeat_seconds,
        per_second: row.try_get(6)?,
        parked: row.try_get(7)?,
        moved_seconds,
        idle,
        late,
    })
}

/// The events of the log, if they are few enough to be counted, and those of them that are parked or were dropped.
async fn counted(
    schema: &Schema,
    conn: &mut PgConnection,
    log: Option<&mut OpenSource>,
    projection: &str,
) -> Result<(Option<u64>, u64), sqlx::Error> {
    let parked: i64 =
        sqlx::query_scalar(schema.sql("SELECT count(*) FROM evenfold.parked_events WHERE projection = $1"))
            .bind(projection)
            .fetch_one(&mut *conn)
            .await?;
    let events = if let Some(log) = log {
        log.count(COUNTED).await?
    } else {
        let events: Option<i64> = sqlx::query_scalar(schema.sql(
            "SELECT CASE WHEN coalesce((SELECT max(position) - min(position) FROM evenfold.events), 0) < $1
                         THEN (SELECT count(*) FROM evenfold.events) END",
        ))
        .bind(COUNTED)
        .fetch_one(conn)
        .await?;
        events.map(i64::unsigned_abs)
    };
    Ok((events, parked.unsigned_abs()))
}
