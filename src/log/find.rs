//! Looking events up by their ids, and counting them.

use crate::database::Schema;
use crate::event::{Aggregate, RecordedEvent};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// The events of these ids, in their order; none where the log has no such event.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// A read that is dropped changes nothing; its connection is of no use any more.
pub async fn find(
    schema: &Schema,
    conn: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Option<RecordedEvent>>, sqlx::Error> {
    let rows = sqlx::query(
        // OFFSET 0: looked up one by one, never joined to the whole log, whatever the statistics are.
        schema.sql("SELECT i.ord, e.position, e.version, e.aggregate_type, e.aggregate_id, e.event_type, e.payload::text, e.metadata::text, i.event_id, e.recorded_at
         FROM unnest($1::uuid[]) WITH ORDINALITY AS i (event_id, ord)
         CROSS JOIN LATERAL (SELECT * FROM evenfold.events WHERE events.event_id = i.event_id OFFSET 0) e"),
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let mut found = vec![None; ids.len()];
    for row in &rows {
        let ord: i64 = row.try_get(0)?;
        let event = RecordedEvent {
            position: row.try_get(1)?,
            version: row.try_get(2)?,
            aggregate: Aggregate { aggregate_type: row.try_get(3)?, aggregate_id: row.try_get(4)? },
            event_type: row.try_get(5)?,
            payload: row.try_get(6)?,
            metadata: row.try_get(7)?,
            event_id: row.try_get(8)?,
            recorded_at: row.try_get(9)?,
        };
        let place = usize::try_from(ord - 1).ok().and_then(|index| found.get_mut(index));
        *place.ok_or_else(|| sqlx::Error::Protocol(format!("event {ord} of {} was found", ids.len())))? = Some(event);
    }
    Ok(found)
}

/// How many events are in the log. Costs one pass over it.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn count(schema: &Schema, conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let events: i64 = sqlx::query_scalar(schema.sql("SELECT count(*) FROM evenfold.events")).fetch_one(conn).await?;
    Ok(events.unsigned_abs())
}
