use crate::class::Class;
use crate::log::Interest;
use sqlx::PgConnection;
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
    class: Class,
    interest: &Interest,
) -> Result<Lag, sqlx::Error> {
    let rows: Vec<(String, i64, f64)> = sqlx::query_as(include_str!("lag.sql"))
        .bind(projection)
        .bind(i64::from(class.modulus()))
        .bind(i64::from(class.residue()))
        .bind(interest.aggregate_types.as_deref())
        .bind(interest.event_types.as_deref())
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().fold(Lag::default(), |lag, (_, events, age)| Lag {
        events: lag.events + events.unsigned_abs(),
        age: lag.age.max(Duration::try_from_secs_f64(age).unwrap_or_default()),
    }))
}

/// The first projection that has not applied every event of the log, and how many it has not.
pub(crate) async fn first_incomplete(conn: &mut PgConnection) -> Result<Option<(String, i64)>, sqlx::Error> {
    let rows: Vec<(String, i64, f64)> = sqlx::query_as(include_str!("lag.sql"))
        .bind(None::<&str>)
        .bind(None::<i64>)
        .bind(None::<i64>)
        .bind(None::<Vec<String>>)
        .bind(None::<Vec<String>>)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().find(|(_, events, _)| *events > 0).map(|(projection, events, _)| (projection, events)))
}
