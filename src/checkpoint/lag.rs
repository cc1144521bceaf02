//! How much a class has not applied: counted, or estimated where that costs too much.

use super::answers::{ClassLag, Lag};
use super::elsewhere;
use super::store::class_of;
use crate::class::Class;
use crate::database::Schema;
use crate::log::{Interest, OpenSource};
use crate::number::Position;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::time::Duration;

/// Where more positions than this are left, they are not counted: counting costs what reading them does, and every
/// worker that starts far behind would count them first.
pub(super) const COUNTED: i64 = 100_000;

/// What a partition has not applied: counted, or estimated from the positions where more than 100,000 are left. Costs
/// one scan of the events that are not applied, or next to nothing. `log` is that of the projection where others write
/// it.
///
/// # Cancel safety
///
/// Reads only.
pub async fn lag(
    schema: &Schema,
    conn: &mut PgConnection,
    mut log: Option<&mut OpenSource>,
    projection: &str,
    partition: Class,
    interest: &Interest,
) -> Result<Lag, sqlx::Error> {
    if let Some(rows) = estimates(schema, conn, log.as_deref_mut(), (projection, partition), COUNTED).await? {
        return Ok(sum(rows));
    }
    let rows = match log {
        None => count(schema, conn, (Some(projection), Some(partition)), interest, None).await?,
        Some(log) => {
            let last = Position::new(i64::MAX);
            elsewhere::count(schema, conn, log, (projection, partition), interest, last).await?
        }
    };
    Ok(sum(rows))
}

fn sum(rows: Vec<ClassLag>) -> Lag {
    rows.into_iter()
        .fold(Lag::default(), |lag, row| Lag { events: lag.events + row.lag.events, age: lag.age.max(row.lag.age) })
}

/// The lag of each class by the positions that are left, if they are more than may be counted: it has its share of
/// them.
pub(super) async fn estimates(
    schema: &Schema,
    conn: &mut PgConnection,
    log: Option<&mut OpenSource>,
    (projection, partition): (&str, Class),
    most: i64,
) -> Result<Option<Vec<ClassLag>>, sqlx::Error> {
    if let Some(log) = log {
        return elsewhere::estimates(schema, conn, log, (projection, partition), most).await;
    }
    let rows = sqlx::query(schema.sql(include_str!("estimated_lag.sql")))
        .bind(projection)
        .bind(i64::from(partition.modulus()))
        .bind(i64::from(partition.residue()))
        .bind(most)
        .fetch_all(conn)
        .await?;
    let rows: Vec<ClassLag> = rows.iter().map(class_lag).collect::<Result<_, _>>()?;
    Ok((!rows.is_empty()).then_some(rows))
}

fn class_lag(row: &PgRow) -> Result<ClassLag, sqlx::Error> {
    let lag = Lag {
        events: row.try_get::<i64, _>(1)?.unsigned_abs(),
        age: Duration::try_from_secs_f64(row.try_get(2)?).unwrap_or_default(),
    };
    Ok(ClassLag { projection: row.try_get(0)?, class: class_of(row, 3)?, lag })
}

/// The snapshot in which everything has ended.
const ALL_ENDED: &str = "9223372036854775807:9223372036854775807:";

/// The first projection that has not applied every event of the log, and how many it has not. Nobody may be appending.
/// The transactions may be another cluster's: what this one has of them by their numbers, in progress or not begun,
/// says nothing, and an event that had been late there would not be counted.
pub(crate) async fn first_incomplete(
    schema: &Schema,
    conn: &mut PgConnection,
) -> Result<Option<(String, i64)>, sqlx::Error> {
    let rows = count(schema, conn, (None, None), &Interest::everything(), Some(ALL_ENDED)).await?;
    let behind = rows.into_iter().find(|row| row.lag.events > 0);
    Ok(behind.map(|row| (row.projection, i64::try_from(row.lag.events).unwrap_or(i64::MAX))))
}

/// Counts per checkpoint: of one projection or all, of one partition or all. Of events whose transactions have ended as
/// of a snapshot: that of the statement if none is given.
pub(super) async fn count(
    schema: &Schema,
    conn: &mut PgConnection,
    (projection, partition): (Option<&str>, Option<Class>),
    interest: &Interest,
    ended: Option<&str>,
) -> Result<Vec<ClassLag>, sqlx::Error> {
    sqlx::query(schema.sql(include_str!("lag.sql")))
        .bind(projection)
        .bind(partition.map(|partition| i64::from(partition.modulus())))
        .bind(partition.map(|partition| i64::from(partition.residue())))
        .bind(interest.aggregate_types.as_deref())
        .bind(interest.event_types.as_deref())
        .bind(ended)
        .fetch_all(conn)
        .await?
        .iter()
        .map(class_lag)
        .collect()
}
