//! Events that could not be applied, and the later events of their aggregates, which wait behind them.

use crate::class::Class;
use crate::database::Schema;
use crate::event::{Aggregate, Event};
use crate::invariant::invariant;
use crate::log::EventBuffer;
use crate::number::Position;
use sqlx::{PgConnection, Row};
use std::collections::{HashMap, HashSet};

/// Why an event waits that could be applied by itself.
pub(crate) const BEHIND: &str = "another event of this aggregate is parked";

/// An event that is to be parked.
#[derive(Debug, Clone)]
pub struct ParkedEvent<'a> {
    /// The event.
    pub event: Event<'a>,
    /// Why it can't be applied.
    pub reason: &'a str,
}

/// Parks events; one that is parked already gets the new reason.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn park(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    parked: &[ParkedEvent<'_>],
) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql(
        "INSERT INTO evenfold.parked_events (projection, position, aggregate_type, aggregate_id, version, hash, reason)
         SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
         ON CONFLICT (projection, position) DO UPDATE SET reason = excluded.reason
             WHERE parked_events.reason <> excluded.reason",
    ))
    .bind(projection)
    .bind(parked.iter().map(|p| p.event.position).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.event.aggregate_type).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.event.aggregate_id).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.event.version).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.event.hash.to_sql()).collect::<Vec<_>>())
    .bind(parked.iter().map(|p| p.reason).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether the class has any event on record, parked or dropped, so that most workers never need to ask more.
///
/// # Cancel safety
///
/// Reads only.
pub async fn has_parked(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    class: Class,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        schema.sql("SELECT EXISTS (SELECT FROM evenfold.parked_events WHERE projection = $1 AND hash % $2 = $3)"),
    )
    .bind(projection)
    .bind(i64::from(class.modulus()))
    .bind(i64::from(class.residue()))
    .fetch_one(conn)
    .await
}

/// How many aggregates of the class are parked.
///
/// # Cancel safety
///
/// Reads only.
pub(crate) async fn parked_aggregates(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    class: Class,
) -> Result<u64, sqlx::Error> {
    let aggregates: i64 = sqlx::query_scalar(schema.sql(
        "SELECT count(DISTINCT (aggregate_type, aggregate_id)) FROM evenfold.parked_events
         WHERE projection = $1 AND dropped_at IS NULL AND hash % $2 = $3",
    ))
    .bind(projection)
    .bind(i64::from(class.modulus()))
    .bind(i64::from(class.residue()))
    .fetch_one(conn)
    .await?;
    Ok(aggregates.unsigned_abs())
}

/// Which of the events are on record as parked, and whether they were dropped.
///
/// # Cancel safety
///
/// Reads only.
pub(crate) async fn parked_positions(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    events: &EventBuffer,
) -> Result<HashMap<Position, bool>, sqlx::Error> {
    let rows: Vec<(Position, bool)> = sqlx::query_as(schema.sql(
        "-- Which events are parked, and which dropped.
         SELECT k.position, p.dropped
         FROM unnest($2::bigint[]) AS k (position)
         CROSS JOIN LATERAL (
             SELECT p.dropped_at IS NOT NULL AS dropped FROM evenfold.parked_events p
             WHERE p.projection = $1 AND p.position = k.position OFFSET 0
         ) p",
    ))
    .bind(projection)
    .bind(events.events().map(|event| event.position).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Which of the events' aggregates are parked, and which of the events are dropped. Costs one step down an index for
/// each aggregate and each event, however many are parked.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn parked_among(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    events: &EventBuffer,
) -> Result<(HashSet<Aggregate>, HashSet<Position>), sqlx::Error> {
    let distinct: HashSet<_> = events.events().map(|e| (e.aggregate_type, e.aggregate_id)).collect();
    let (types, ids): (Vec<_>, Vec<_>) = distinct.into_iter().unzip();
    // LIMIT and OFFSET keep the planner from joining. While it has no statistics it takes the table for tiny, and would
    // compare each of its rows with each element of the array: 10,000 times 10,000 for one batch.
    let parked = sqlx::query(schema.sql(
        "-- Which aggregates of a batch are parked.
         SELECT k.aggregate_type, k.aggregate_id
         FROM unnest($2::text[], $3::text[]) AS k (aggregate_type, aggregate_id)
         CROSS JOIN LATERAL (
             SELECT FROM evenfold.parked_events p WHERE p.projection = $1 AND p.dropped_at IS NULL
                 AND p.aggregate_type = k.aggregate_type AND p.aggregate_id = k.aggregate_id LIMIT 1
         ) p",
    ))
    .bind(projection)
    .bind(types)
    .bind(ids)
    .fetch_all(&mut *conn)
    .await?
    .iter()
    .map(|row| Ok(Aggregate { aggregate_type: row.try_get(0)?, aggregate_id: row.try_get(1)? }))
    .collect::<Result<_, sqlx::Error>>()?;
    let dropped: Vec<Position> = sqlx::query_scalar(
        schema.sql("-- Which events of a batch are dropped.
         SELECT k.position FROM unnest($2::bigint[]) AS k (position)
         CROSS JOIN LATERAL (
             SELECT p.dropped_at FROM evenfold.parked_events p WHERE p.projection = $1 AND p.position = k.position OFFSET 0
         ) p
         WHERE p.dropped_at IS NOT NULL"),
    )
    .bind(projection)
    .bind(events.events().map(|event| event.position).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok((parked, dropped.into_iter().collect()))
}

/// Takes events off the list: they have been applied.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn unpark(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    positions: &[Position],
) -> Result<(), sqlx::Error> {
    // The rows are looked up first, and removed by where they are: joined to the array, the table could be read as a
    // whole for each of its elements. Nobody moves them meanwhile: the caller has locked their checkpoints.
    let removed = sqlx::query(schema.sql(
        "DELETE FROM evenfold.parked_events WHERE ctid = ANY (ARRAY(
             SELECT p.ctid FROM unnest($2::bigint[]) AS k (position)
             CROSS JOIN LATERAL (
                 SELECT ctid FROM evenfold.parked_events p WHERE p.projection = $1 AND p.position = k.position OFFSET 0
             ) p))",
    ))
    .bind(projection)
    .bind(positions)
    .execute(tx)
    .await?
    .rows_affected();
    // Otherwise one of them was applied twice.
    invariant!(
        removed == positions.len() as u64,
        "of {} events that were applied {removed} were parked",
        positions.len()
    );
    Ok(())
}

/// Gives a parked event up: it stays on record as dropped.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn drop_parked(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    position: Position,
) -> Result<(), sqlx::Error> {
    let dropped = sqlx::query(
        schema.sql("UPDATE evenfold.parked_events SET dropped_at = now() WHERE projection = $1 AND position = $2"),
    )
    .bind(projection)
    .bind(position)
    .execute(tx)
    .await?
    .rows_affected();
    invariant!(dropped == 1, "the event at position {position} is parked once, and not {dropped} times");
    Ok(())
}
