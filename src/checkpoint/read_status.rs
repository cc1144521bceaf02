//! Reads how a projection stands.

use super::answers::{ClassLag, Lag};
use super::elsewhere;
use super::heartbeat::{SILENT_AFTER, SUPERSEDED};
use super::idle::Signs;
use super::lag;
use super::status::{ClassStatus, Status};
use super::store::class_of;
use crate::class::{Class, is_exact_cover};
use crate::database::Schema;
use crate::log::{Interest, OpenSource};
use crate::number::Position;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::collections::HashMap;

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
    log: Option<&mut OpenSource>,
    projection: &str,
) -> Result<Status, sqlx::Error> {
    read(schema, conn, log, projection, Extent::Whole).await
}

/// [`status_of`], at what counting may cost.
///
/// # Errors
///
/// The databases'.
///
/// # Cancel safety
///
/// Reads only.
#[doc(hidden)]
pub async fn status_within(
    extent: Extent,
    schema: &Schema,
    conn: &mut PgConnection,
    log: Option<&mut OpenSource>,
    projection: &str,
) -> Result<Status, sqlx::Error> {
    read(schema, conn, log, projection, extent).await
}

/// What counting may cost.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What reading the events costs.
    Whole,
    /// What reading 1,000,000 events costs: where more positions are left, what is behind is estimated from them.
    Bounded,
    /// Little, for whoever looks every few seconds: the events of the log are not counted, and what is behind is
    /// estimated where more than 100,000 positions are left.
    Little,
}

impl Extent {
    /// How many positions may be left for what is behind to be counted; any number, if none.
    fn most(self) -> Option<i64> {
        match self {
            Self::Whole => None,
            Self::Bounded => Some(COUNTED),
            Self::Little => Some(lag::COUNTED),
        }
    }
}

/// How it is read. Connections that go by the indexes join nothing otherwise, and a thousand classes and their
/// heartbeats are to be joined; and the planner expects so much of them that it would compile the statements, which
/// takes a hundred times as long as running them.
const BEGIN: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
    SET LOCAL enable_hashjoin = on; SET LOCAL enable_sort = on; SET LOCAL jit = off";

async fn read(
    schema: &Schema,
    conn: &mut PgConnection,
    mut log: Option<&mut OpenSource>,
    projection: &str,
    extent: Extent,
) -> Result<Status, sqlx::Error> {
    let mut tx = sqlx::Connection::begin(conn).await?;
    sqlx::raw_sql(BEGIN).execute(&mut *tx).await?;
    let topologies: Vec<(i64, Option<f64>)> = sqlx::query_as(schema.sql(
        "SELECT total, extract(epoch FROM now() - superseded_at)::float8 FROM evenfold.topologies WHERE projection = $1
         ORDER BY superseded_at DESC",
    ))
    .bind(projection)
    .fetch_all(&mut *tx)
    .await?;
    let whole = Class::partition(0, 1).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    // Of another log's writers a reader may know nothing.
    let oldest_append_open_seconds =
        if log.is_none() { oldest_append_open_seconds(schema, &mut tx).await? } else { None };
    let (behind, estimated) = behind(schema, &mut tx, log.as_deref_mut(), projection, extent).await?;
    let total_partitions = topologies.iter().find(|(_, ago)| ago.is_none()).map(|(total, _)| *total);
    let waiting = superseded_workers(schema, &mut tx, projection, total_partitions).await?;
    let has_holes = log.as_ref().is_some_and(|log| log.has_holes());
    let parked_events = parked_events(schema, &mut tx, projection).await?;
    let events = if extent == Extent::Little { None } else { events(schema, &mut tx, log).await? };
    let rows = by_class(schema, &mut tx, projection, total_partitions).await?;
    let mut classes = Vec::with_capacity(rows.len());
    let mut cover = Vec::with_capacity(rows.len());
    let mut missing_positions = has_holes.then_some(0);
    for (class, row) in rows {
        cover.push(class);
        let lag = behind.get(&class).copied().unwrap_or_default();
        classes.push(ClassStatus { estimated, ..class_status(&row, class, lag)? });
        let missing: i64 = row.try_get(13)?;
        missing_positions = missing_positions.map(|most: u64| most.max(missing.unsigned_abs()));
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
        missing_positions,
        classes,
    })
}

/// Seconds since the oldest transaction that has appended and is still open began.
async fn oldest_append_open_seconds(schema: &Schema, conn: &mut PgConnection) -> Result<Option<f64>, sqlx::Error> {
    // Whoever has appended holds this lock on the table until its transaction ends. Locks are the cluster's, and the
    // tables of another database may have the same numbers.
    sqlx::query_scalar(
        schema.sql("SELECT max(extract(epoch FROM clock_timestamp() - a.xact_start))::float8
         FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'relation' AND l.relation = 'evenfold.events'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"),
    )
    .fetch_one(conn)
    .await
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
    .bind(SILENT_AFTER.as_secs_f64())
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
        .bind(SILENT_AFTER.as_secs_f64())
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
        estimated: false,
        behind_seconds: lag.age.as_secs_f64(),
        owner,
        state,
        heartbeat_seconds,
        per_second: row.try_get(6)?,
        applied: row.try_get::<Option<i64>, _>(10)?.map(i64::unsigned_abs),
        coordination_seconds: row.try_get(11)?,
        compute_seconds: row.try_get(12)?,
        parked: row.try_get(7)?,
        moved_seconds,
        idle,
        late,
    })
}

/// What each class has not applied, and whether that is estimated.
async fn behind(
    schema: &Schema,
    conn: &mut PgConnection,
    mut log: Option<&mut OpenSource>,
    projection: &str,
    extent: Extent,
) -> Result<(HashMap<Class, Lag>, bool), sqlx::Error> {
    let whole = Class::partition(0, 1).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    let by_class = |rows: Vec<ClassLag>| rows.into_iter().map(|row| (row.class, row.lag)).collect();
    if let Some(most) = extent.most()
        && let Some(rows) = lag::estimates(schema, conn, log.as_deref_mut(), (projection, whole), most).await?
    {
        return Ok((by_class(rows), true));
    }
    let everything = Interest::everything();
    let rows = match log {
        None => lag::count(schema, conn, (Some(projection), None), &everything, None).await?,
        Some(log) => {
            let last = Position::new(i64::MAX);
            elsewhere::count(schema, conn, log, (projection, whole), &everything, last).await?
        }
    };
    Ok((by_class(rows), false))
}

/// The events of the log, if they are few enough to be counted.
async fn events(
    schema: &Schema,
    conn: &mut PgConnection,
    log: Option<&mut OpenSource>,
) -> Result<Option<u64>, sqlx::Error> {
    if let Some(log) = log {
        return log.count(COUNTED).await;
    }
    let events: Option<i64> = sqlx::query_scalar(schema.sql(
        "SELECT CASE WHEN coalesce((SELECT max(position) - min(position) FROM evenfold.events), 0) < $1
                     THEN (SELECT count(*) FROM evenfold.events) END",
    ))
    .bind(COUNTED)
    .fetch_one(conn)
    .await?;
    Ok(events.map(i64::unsigned_abs))
}

/// How many events are parked, or were dropped.
async fn parked_events(schema: &Schema, conn: &mut PgConnection, projection: &str) -> Result<u64, sqlx::Error> {
    let parked: i64 =
        sqlx::query_scalar(schema.sql("SELECT count(*) FROM evenfold.parked_events WHERE projection = $1"))
            .bind(projection)
            .fetch_one(conn)
            .await?;
    Ok(parked.unsigned_abs())
}
