//! What operators did to parked aggregates, on record; and what a parked event contains, for them.

use crate::database::Schema;
use crate::number::Position;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// What an operator is about to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOperation<'a> {
    /// The operator's name.
    pub who: &'a str,
    /// What it is, in a word or two.
    pub what: &'a str,
    /// The projection that has parked the aggregate.
    pub projection: &'a str,
    /// The kind of aggregate.
    pub aggregate_type: &'a str,
    /// Which one.
    pub aggregate_id: &'a str,
}

/// What is on record of an operation.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Operation {
    /// Its number: later ones have larger numbers.
    pub operation: i64,
    /// When it was begun: Unix time in seconds.
    pub at: f64,
    /// The operator's name.
    pub who: String,
    /// What it is, in a word or two.
    pub what: String,
    /// The projection that had parked the aggregate.
    pub projection: String,
    /// The kind of aggregate.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
    /// What became of it; none while it is under way, or where its process has ended in the middle of it.
    pub outcome: Option<String>,
}

/// What a parked event contains.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ParkedPayload {
    /// The kind of event.
    pub event_type: String,
    /// Its payload as it is in the log, or the first characters of one that is long.
    pub payload: String,
    /// Whether the payload goes on.
    pub shortened: bool,
}

/// Writes down that an operation begins, before anything is done; gives its number.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// One statement.
pub async fn begin_operation(
    schema: &Schema,
    conn: &mut PgConnection,
    operation: &NewOperation<'_>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(schema.sql(
        "INSERT INTO evenfold.operations (who, what, projection, aggregate_type, aggregate_id)
         VALUES ($1, $2, $3, $4, $5) RETURNING operation",
    ))
    .bind(operation.who)
    .bind(operation.what)
    .bind(operation.projection)
    .bind(operation.aggregate_type)
    .bind(operation.aggregate_id)
    .fetch_one(conn)
    .await
}

/// Writes down what became of an operation.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// One statement.
pub async fn finish_operation(
    schema: &Schema,
    conn: &mut PgConnection,
    operation: i64,
    outcome: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql(
        "UPDATE evenfold.operations SET outcome = $2, finished_at = clock_timestamp()
         WHERE operation = $1 AND outcome IS NULL",
    ))
    .bind(operation)
    .bind(outcome)
    .execute(conn)
    .await
    .map(drop)
}

/// The latest operations, the last one at the head: at most `limit`.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn operations(schema: &Schema, conn: &mut PgConnection, limit: i64) -> Result<Vec<Operation>, sqlx::Error> {
    let rows = sqlx::query(schema.sql(
        "SELECT operation, extract(epoch FROM begun_at)::float8 AS at, who, what, projection, aggregate_type,
             aggregate_id, outcome
         FROM evenfold.operations ORDER BY operation DESC LIMIT $1",
    ))
    .bind(limit)
    .fetch_all(conn)
    .await?;
    let operation = |row: &PgRow| {
        Ok(Operation {
            operation: row.try_get(0)?,
            at: row.try_get(1)?,
            who: row.try_get(2)?,
            what: row.try_get(3)?,
            projection: row.try_get(4)?,
            aggregate_type: row.try_get(5)?,
            aggregate_id: row.try_get(6)?,
            outcome: row.try_get(7)?,
        })
    };
    rows.iter().map(operation).collect()
}

/// What the event at this position contains, with at most `most` characters of its payload; none if the projection has
/// not parked it. For projections of evenfold's own log: the positions of others are others.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn parked_payload(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    position: Position,
    most: i32,
) -> Result<Option<ParkedPayload>, sqlx::Error> {
    let row: Option<(String, String, bool)> = sqlx::query_as(schema.sql(
        "SELECT e.event_type, left(e.payload::text, $3) AS payload, length(e.payload::text) > $3 AS shortened
         FROM evenfold.parked_events p JOIN evenfold.events e ON e.position = p.position
         WHERE p.projection = $1 AND p.position = $2 AND p.dropped_at IS NULL",
    ))
    .bind(projection)
    .bind(position)
    .bind(most)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|(event_type, payload, shortened)| ParkedPayload { event_type, payload, shortened }))
}
