//! Reading what is parked: the list for operators, and the events for those who apply them after all.

use super::parked::BEHIND;
use crate::database::Schema;
use crate::event::Aggregate;
use crate::hash::IdHash;
use crate::log::{ENVELOPE, EventBuffer, PAYLOAD, RowColumns};
use crate::number::{Position, Version};
use futures_util::TryStreamExt;
use sqlx::{PgConnection, Row};
use std::collections::HashSet;

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
    pub version: Version,
    /// Its position.
    pub position: Position,
    /// Why it could not.
    pub reason: String,
    /// How many events of the aggregate are parked.
    pub events: i64,
}

/// The parked aggregates, those parked first at the head: at most `limit`. Costs one reading of all that is parked.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn list_parked(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    limit: i64,
) -> Result<Vec<ParkedAggregate>, sqlx::Error> {
    sqlx::query(schema.sql(include_str!("list_parked.sql")))
        .bind(projection)
        .bind(BEHIND)
        .bind(limit)
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

/// How many events are parked.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn count_parked(schema: &Schema, conn: &mut PgConnection, projection: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        schema.sql("SELECT count(*) FROM evenfold.parked_events WHERE projection = $1 AND dropped_at IS NULL"),
    )
    .bind(projection)
    .fetch_one(conn)
    .await
}

/// Parked aggregates that are tried together, in the order of their names, and the hashes under which their events
/// are stored, which need not be those of their names: a wrong hash is one reason for parking.
#[derive(Debug, Default)]
pub(crate) struct Together {
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) hashes: HashSet<IdHash>,
}

impl Together {
    fn add(&mut self, aggregate: Aggregate, stored: IdHash) {
        self.hashes.insert(stored);
        if self.aggregates.last() != Some(&aggregate) {
            self.hashes.insert(IdHash::of(&aggregate.aggregate_id));
            self.aggregates.push(aggregate);
        }
    }
}

/// The next parked aggregates after this one: as many as have `events` parked events together, and one at least. All of
/// an aggregate's events belong to it, also where they are more.
///
/// # Cancel safety
///
/// Reads only.
pub(crate) async fn next_parked(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    after: Option<&Aggregate>,
    events: i64,
) -> Result<Together, sqlx::Error> {
    let rows = sqlx::query(schema.sql(
        "-- The next parked aggregates.
         SELECT aggregate_type, aggregate_id, hash FROM evenfold.parked_events
         WHERE projection = $1 AND dropped_at IS NULL AND (aggregate_type, aggregate_id) > ($2, $3)
         ORDER BY aggregate_type, aggregate_id, version LIMIT $4",
    ))
    .bind(projection)
    // No type is empty.
    .bind(after.map_or("", |a| a.aggregate_type.as_str()))
    .bind(after.map_or("", |a| a.aggregate_id.as_str()))
    .bind(events)
    .fetch_all(conn)
    .await?;
    let mut together = Together::default();
    for row in &rows {
        let aggregate = Aggregate { aggregate_type: row.try_get(0)?, aggregate_id: row.try_get(1)? };
        together.add(aggregate, IdHash::from_sql(row.try_get(2)?));
    }
    Ok(together)
}

/// One aggregate, if it is parked; otherwise none.
///
/// # Cancel safety
///
/// Reads only.
pub(crate) async fn one_parked(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    aggregate: &Aggregate,
) -> Result<Together, sqlx::Error> {
    let hashes: Vec<i64> = sqlx::query_scalar(schema.sql(
        "-- The hashes of a parked aggregate.
         SELECT DISTINCT hash FROM evenfold.parked_events
         WHERE projection = $1 AND dropped_at IS NULL AND aggregate_type = $2 AND aggregate_id = $3",
    ))
    .bind(projection)
    .bind(&aggregate.aggregate_type)
    .bind(&aggregate.aggregate_id)
    .fetch_all(conn)
    .await?;
    let mut together = Together::default();
    for hash in hashes {
        together.add(aggregate.clone(), IdHash::from_sql(hash));
    }
    Ok(together)
}

/// The position of the event for which an aggregate is parked: the first that could not be applied, or else the
/// first.
///
/// # Cancel safety
///
/// Reads only.
pub async fn cause_of(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    aggregate: &Aggregate,
) -> Result<Option<Position>, sqlx::Error> {
    sqlx::query_scalar(schema.sql(
        "-- The event for which an aggregate is parked.
         SELECT position FROM evenfold.parked_events
         WHERE projection = $1 AND dropped_at IS NULL AND aggregate_type = $2 AND aggregate_id = $3
         ORDER BY reason = $4, version LIMIT 1",
    ))
    .bind(projection)
    .bind(&aggregate.aggregate_type)
    .bind(&aggregate.aggregate_id)
    .bind(BEHIND)
    .fetch_optional(conn)
    .await
}

/// Where reading the parked events of some aggregates has come to: those of one aggregate after the other, in the order
/// of their versions, which need not be that of their positions: two events out of order are one reason for parking.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub(crate) aggregate: Aggregate,
    pub(crate) version: Version,
}

type ParkedQuery<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Binds what bounds the next parked events of these aggregates, of which the first and the last are given.
fn bound<'q>(
    query: ParkedQuery<'q>,
    projection: &'q str,
    (first, last): (&'q Aggregate, &'q Aggregate),
    reached: Option<&'q Reached>,
    limit: i64,
) -> ParkedQuery<'q> {
    let (from, version) =
        reached.map_or((first, Version::new(i64::MIN)), |reached| (&reached.aggregate, reached.version));
    query
        .bind(projection)
        .bind(&from.aggregate_type)
        .bind(&from.aggregate_id)
        .bind(version)
        .bind(&last.aggregate_type)
        .bind(&last.aggregate_id)
        .bind(limit)
}

/// Where the next parked events of these aggregates are, which are in the order of their names, for whoever reads them
/// elsewhere: at most `limit`; none if there are no more.
///
/// # Cancel safety
///
/// Reads only.
pub(crate) async fn parked_places_after(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    aggregates: &[Aggregate],
    reached: Option<&Reached>,
    limit: i64,
) -> Result<Vec<(Position, Reached)>, sqlx::Error> {
    let (Some(first), Some(last)) = (aggregates.first(), aggregates.last()) else { return Ok(Vec::new()) };
    let sql = schema.sql(
        "SELECT position, aggregate_type, aggregate_id, version FROM evenfold.parked_events p
         WHERE p.projection = $1 AND p.dropped_at IS NULL
           AND (p.aggregate_type, p.aggregate_id, p.version) > ($2, $3, $4)
           AND (p.aggregate_type, p.aggregate_id) <= ($5, $6)
         ORDER BY p.aggregate_type, p.aggregate_id, p.version LIMIT $7",
    );
    let rows = bound(sqlx::query(sql), projection, (first, last), reached, limit).fetch_all(tx).await?;
    rows.iter()
        .map(|row| {
            let aggregate = Aggregate { aggregate_type: row.try_get(1)?, aggregate_id: row.try_get(2)? };
            Ok((row.try_get(0)?, Reached { aggregate, version: row.try_get(3)? }))
        })
        .collect()
}

/// Reads the next parked events of these aggregates, which are in the order of their names: at most `limit`, and not
/// many more than 16 MiB. Gives where it has come to; none if there are no more.
///
/// # Cancel safety
///
/// Reads only.
pub(crate) async fn parked_after(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    aggregates: &[Aggregate],
    reached: Option<&Reached>,
    limit: i64,
    into: &mut EventBuffer,
) -> Result<Option<Reached>, sqlx::Error> {
    into.clear();
    let (Some(first), Some(last)) = (aggregates.first(), aggregates.last()) else { return Ok(None) };
    let wanted: HashSet<_> = aggregates.iter().map(|a| (a.aggregate_type.as_str(), a.aggregate_id.as_str())).collect();
    let statement = include_str!("parked_after.sql").replace("{payload}", PAYLOAD).replace("{envelope}", ENVELOPE);
    let query = sqlx::query(schema.sql(statement));
    let mut rows = bound(query, projection, (first, last), reached, limit).fetch(tx);
    let (mut at, mut columns) = (None, None);
    while let Some(row) = rows.try_next().await? {
        let event = columns.get_or_insert_with(|| RowColumns::of(&row, true)).event(&row)?;
        let key = (event.aggregate_type, event.aggregate_id);
        // One that was parked just now, between two of them: its checkpoint may not be locked.
        if wanted.contains(&key) {
            into.push(&event);
        }
        let aggregate = Aggregate { aggregate_type: key.0.to_owned(), aggregate_id: key.1.to_owned() };
        at = Some(Reached { aggregate, version: event.version });
        if into.is_full() {
            break;
        }
    }
    Ok(at)
}
