//! Events that could not be applied, and the later events of their aggregates, which wait behind them.

use crate::class::Class;
use crate::event::{Aggregate, Event};
use crate::log::{ENVELOPE, EventBuffer, PAYLOAD};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::collections::HashSet;

/// Why an event waits that could be applied by itself.
pub(crate) const BEHIND: &str = "another event of this aggregate is parked";

/// An aggregate that is parked: its first event that could not be applied, and how many wait.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ParkedAggregate {
    /// The projection that could not apply it.
    pub projection: String,
    /// The kind of aggregate.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
    /// The version of the first event that could not be applied.
    pub version: i64,
    /// Its position.
    pub position: i64,
    /// Why it could not.
    pub reason: String,
    /// How many events of the aggregate are parked.
    pub events: i64,
}

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
pub async fn park(tx: &mut PgConnection, projection: &str, parked: &[ParkedEvent<'_>]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO parked_events (projection, position, aggregate_type, aggregate_id, version, hash, reason)
         SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
         ON CONFLICT (projection, position) DO UPDATE SET reason = excluded.reason",
    )
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
pub async fn has_parked(conn: &mut PgConnection, projection: &str, class: Class) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM parked_events WHERE projection = $1 AND hash % $2 = $3)")
        .bind(projection)
        .bind(i64::from(class.modulus()))
        .bind(i64::from(class.residue()))
        .fetch_one(conn)
        .await
}

/// Which of the events' aggregates are parked, and which of the events are dropped.
///
/// # Cancel safety
///
/// Reads only.
pub async fn parked_among(
    conn: &mut PgConnection,
    projection: &str,
    events: &EventBuffer,
) -> Result<(HashSet<Aggregate>, HashSet<i64>), sqlx::Error> {
    let distinct: HashSet<_> = events.events().map(|e| (e.aggregate_type, e.aggregate_id)).collect();
    let (types, ids): (Vec<_>, Vec<_>) = distinct.into_iter().unzip();
    let parked = sqlx::query(
        "SELECT a.aggregate_type, a.aggregate_id FROM unnest($2::text[], $3::text[]) AS a (aggregate_type, aggregate_id)
         WHERE EXISTS (SELECT FROM parked_events p WHERE p.projection = $1 AND p.dropped_at IS NULL
             AND p.aggregate_type = a.aggregate_type AND p.aggregate_id = a.aggregate_id)",
    )
    .bind(projection)
    .bind(types)
    .bind(ids)
    .fetch_all(&mut *conn)
    .await?
    .iter()
    .map(|row| Ok(Aggregate { aggregate_type: row.try_get(0)?, aggregate_id: row.try_get(1)? }))
    .collect::<Result<_, sqlx::Error>>()?;
    let dropped: Vec<i64> = sqlx::query_scalar(
        "SELECT position FROM parked_events WHERE projection = $1 AND dropped_at IS NOT NULL AND position = ANY ($2)",
    )
    .bind(projection)
    .bind(events.events().map(|event| event.position).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok((parked, dropped.into_iter().collect()))
}

/// The parked aggregates, those parked first at the head: at most `limit`, of one type and id where given.
///
/// # Cancel safety
///
/// Reads only.
pub async fn list_parked(
    conn: &mut PgConnection,
    projection: &str,
    aggregate: Option<&Aggregate>,
    limit: i64,
) -> Result<Vec<ParkedAggregate>, sqlx::Error> {
    sqlx::query(
        "SELECT aggregate_type, aggregate_id, count(*), (array_agg(version ORDER BY reason = $5, version))[1],
                (array_agg(position ORDER BY reason = $5, version))[1],
                (array_agg(reason ORDER BY reason = $5, version))[1]
         FROM parked_events
         WHERE projection = $1 AND dropped_at IS NULL
           AND ($2::text IS NULL OR (aggregate_type = $2 AND aggregate_id = $3))
         GROUP BY aggregate_type, aggregate_id ORDER BY min(parked_at), min(position) LIMIT $4",
    )
    .bind(projection)
    .bind(aggregate.map(|a| a.aggregate_type.as_str()))
    .bind(aggregate.map(|a| a.aggregate_id.as_str()))
    .bind(limit)
    .bind(BEHIND)
    .fetch_all(conn)
    .await?
    .iter()
    .map(|row| {
        Ok(ParkedAggregate {
            projection: projection.to_owned(),
            aggregate_type: row.try_get(0)?,
            aggregate_id: row.try_get(1)?,
            events: row.try_get(2)?,
            version: row.try_get(3)?,
            position: row.try_get(4)?,
            reason: row.try_get(5)?,
        })
    })
    .collect()
}

/// Reads the next parked events of an aggregate after a version, in the order of their versions, which need not be that
/// of their positions: two events out of order are one reason for parking. With them comes the one that was just dropped.
///
/// # Cancel safety
///
/// Reads only.
pub async fn parked_of(
    tx: &mut PgConnection,
    projection: &str,
    aggregate: &Aggregate,
    (after_version, dropped): (i64, Option<i64>),
    limit: i64,
    into: &mut EventBuffer,
) -> Result<(), sqlx::Error> {
    into.clear();
    let statement = format!(
        "SELECT e.position, e.version, e.hash, e.aggregate_type, e.aggregate_id, e.event_type, {PAYLOAD} {ENVELOPE}
         FROM parked_events p JOIN events e USING (position)
         WHERE p.projection = $1 AND p.aggregate_type = $2 AND p.aggregate_id = $3
           AND (p.dropped_at IS NULL OR p.position = $4) AND p.version > $5
         ORDER BY p.version LIMIT $6",
    );
    // Put together from our own text.
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(projection)
        .bind(&aggregate.aggregate_type)
        .bind(&aggregate.aggregate_id)
        .bind(dropped)
        .bind(after_version)
        .bind(limit)
        .fetch_all(tx)
        .await?;
    for row in &rows {
        into.push(&crate::log::decode(row, true)?);
    }
    Ok(())
}

/// Takes events off the list: they have been applied.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn unpark(tx: &mut PgConnection, projection: &str, positions: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM parked_events WHERE projection = $1 AND position = ANY ($2)")
        .bind(projection)
        .bind(positions)
        .execute(tx)
        .await?;
    Ok(())
}

/// Gives a parked event up: it stays on record as dropped.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn drop_parked(tx: &mut PgConnection, projection: &str, position: i64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE parked_events SET dropped_at = now() WHERE projection = $1 AND position = $2")
        .bind(projection)
        .bind(position)
        .execute(tx)
        .await?;
    Ok(())
}
