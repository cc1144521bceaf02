//! What counters stand at by the log, also where the projection is behind.

use crate::counter::{AmountPointer, BadAmount, Counter, Refused};
use crate::database::Schema;
use crate::event::Unreadable;
use crate::invariant::broken;
use crate::log::PAYLOAD;
use crate::number::{Position, Version};
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// The counters of these aggregates with all events that are committed: what the read model says, and the events after
/// it. One of which there is no event is the default. An aggregate with an event that can't be applied is refused: its
/// counter is not known.
///
/// It reads as many events as the projection is behind, one at a time.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// A read that is dropped changes nothing; its connection is of no use any more.
pub async fn current(
    schema: &Schema,
    conn: &mut PgConnection,
    pointer: &AmountPointer,
    aggregate_type: &str,
    aggregate_ids: &[&str],
) -> Result<Vec<Result<Counter, Refused>>, sqlx::Error> {
    let mut counters = vec![Ok(Counter::default()); aggregate_ids.len()];
    let statement = include_str!("current.sql").replace("{payload}", PAYLOAD);
    let query = sqlx::query(schema.sql(statement)).bind(aggregate_type).bind(aggregate_ids);
    let mut rows = query.fetch(conn);
    let mut last = None;
    while let Some(row) = rows.try_next().await? {
        let number: i64 = row.try_get(0)?;
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let counter = counters.get_mut(index).ok_or_else(|| broken(&format!("a row is of counter {number}")))?;
        if last.replace(index) != Some(index) {
            *counter = Ok(stored(&row)?.unwrap_or_default());
        }
        let Some(version) = row.try_get::<Option<Version>, _>(5)? else { continue };
        let (position, payload): (Position, Option<&str>) = (row.try_get(6)?, row.try_get(7)?);
        let amount = payload.map_or(Err(BadAmount::Unreadable(Unreadable::TooLarge)), |text| pointer.amount(text));
        if let Ok(before) = counter {
            *counter = before.apply(version, position, amount);
        }
    }
    Ok(counters)
}

/// What the read model says; none if it has no row.
fn stored(row: &PgRow) -> Result<Option<Counter>, sqlx::Error> {
    let Some(events) = row.try_get(1)? else { return Ok(None) };
    let (value, version, last_position) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    Ok(Some(Counter { events, value, version, last_position }))
}
