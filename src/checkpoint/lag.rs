use super::store::class_of;
use crate::class::Class;
use crate::log::Interest;
use sqlx::{PgConnection, Row};
use std::time::Duration;

/// How far a partition is behind the log, counted in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Committed events that it wants and has not applied.
    pub events: u64,
    /// How long ago the oldest of them was written; zero if there are none.
    pub age: Duration,
}

/// Counts what a partition has not applied. Costs one scan of the events that are not.
///
/// # Cancel safety
///
/// Reads only.
pub async fn lag(
    conn: &mut PgConnection,
    projection: &str,
    partition: Class,
    interest: &Interest,
) -> Result<Lag, sqlx::Error> {
    let rows = count(conn, Some(projection), Some(partition), interest).await?;
    Ok(rows
        .into_iter()
        .fold(Lag::default(), |lag, row| Lag { events: lag.events + row.lag.events, age: lag.age.max(row.lag.age) }))
}

/// The first projection that has not applied every event of the log, and how many it has not.
pub(crate) async fn first_incomplete(conn: &mut PgConnection) -> Result<Option<(String, i64)>, sqlx::Error> {
    let rows = count(conn, None, None, &Interest::everything()).await?;
    let behind = rows.into_iter().find(|row| row.lag.events > 0);
    Ok(behind.map(|row| (row.projection, i64::try_from(row.lag.events).unwrap_or(i64::MAX))))
}

/// What one checkpoint has not applied.
pub(super) struct ClassLag {
    pub(super) projection: String,
    pub(super) class: Class,
    pub(super) lag: Lag,
}

/// Counts per checkpoint: of one projection or all, of one partition or all.
pub(super) async fn count(
    conn: &mut PgConnection,
    projection: Option<&str>,
    partition: Option<Class>,
    interest: &Interest,
) -> Result<Vec<ClassLag>, sqlx::Error> {
    sqlx::query(include_str!("lag.sql"))
        .bind(projection)
        .bind(partition.map(|partition| i64::from(partition.modulus())))
        .bind(partition.map(|partition| i64::from(partition.residue())))
        .bind(interest.aggregate_types.as_deref())
        .bind(interest.event_types.as_deref())
        .fetch_all(conn)
        .await?
        .iter()
        .map(|row| {
            let lag = Lag {
                events: row.try_get::<i64, _>(1)?.unsigned_abs(),
                age: Duration::try_from_secs_f64(row.try_get(2)?).unwrap_or_default(),
            };
            Ok(ClassLag { projection: row.try_get(0)?, class: class_of(row, 3)?, lag })
        })
        .collect()
}
