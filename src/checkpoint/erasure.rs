//! Erasing what the events of an aggregate contain. The work is that of the function `evenfold.erase` in the database,
//! which locks the aggregate's checkpoints: see `docs/design.md`.

use super::definition::definition_of;
use super::wanted::interest_of;
use crate::database::Schema;
use crate::event::Aggregate;
use crate::number::Version;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Events of one transaction. The workers of the aggregate's partition wait for it, for less than a second.
const TOGETHER: i32 = 5_000;

/// How often locks are waited for, 5 seconds each time.
const ATTEMPTS: u32 = 6;

/// The longest pause between two transactions.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What there is to erase of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasable {
    /// How many of its events are not erased.
    pub events: u64,
    /// The version of the last of them; [`Version::NONE`] without any.
    pub last: Version,
    /// How many are erased.
    pub erased: u64,
    /// The projections that have applied some of its events, in the order of their names: their read models may have
    /// what they took from the payloads.
    pub read_models: Vec<String>,
}

/// What one transaction has erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Up to which version the aggregate is erased at the end; none where there was nothing to erase.
    pub version: Option<Version>,
    /// How many events.
    pub events: u64,
    /// Whether that was all.
    pub finished: bool,
}

/// What is on record of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Erasure {
    /// The kind of aggregate.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
    /// The version up to which its events are erased, once it is finished.
    pub version: Version,
    /// How many events were erased.
    pub events: i64,
    /// The role that has begun it.
    pub begun_by: String,
    /// When, in UTC.
    pub begun_at: String,
    /// Whether it is finished; an unfinished one is gone on with by erasing the aggregate again.
    pub finished: bool,
    /// The projections whose read models may still have what they took from the payloads.
    pub read_models: Vec<String>,
}

/// Why nothing more was erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// Somebody holds the locks for long.
    #[error(
        "another transaction has had the checkpoints of the aggregate's partition locked for {} s: the events that are \
         erased stay so, and the next run goes on with the others",
        5 * ATTEMPTS
    )]
    Busy,
    /// The role may not.
    #[error(
        "the user may not erase events: whoever owns the tables can `GRANT EXECUTE ON FUNCTION {0}.erase(text, text, integer) TO …`"
    )]
    Denied(Schema),
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// What there is to erase of an aggregate. Costs one pass over its events.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn erasable(
    schema: &Schema,
    conn: &mut PgConnection,
    aggregate: &Aggregate,
) -> Result<Erasable, sqlx::Error> {
    let row = sqlx::query(schema.sql(include_str!("erasable.sql")))
        .bind(&aggregate.aggregate_type)
        .bind(&aggregate.aggregate_id)
        .fetch_one(&mut *conn)
        .await?;
    let (all, left): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let wanted = Wanted::load(schema, conn).await?;
    Ok(Erasable {
        events: left.unsigned_abs(),
        last: row.try_get(2)?,
        erased: (all - left).unsigned_abs(),
        read_models: wanted.of(row.try_get(3)?, &aggregate.aggregate_type),
    })
}

/// Erases the events of one aggregate, many in one transaction, for good: each gets the payload of an
/// [erased](crate::Event::is_erased) event, and no metadata. Those that are appended after the first transaction stay
/// as they are. It is recorded who has begun it, and when; what is not finished goes on with the next one, whoever
/// begins that. Works while workers run and others append.
///
/// What was committed in a read model before stays there; no batch that is committed after a transaction of this has
/// anything of what that has erased.
#[derive(Debug, Default)]
pub struct Erase {
    took: Duration,
}

impl Erase {
    /// The next events: at most 5,000. To be called until it is finished.
    ///
    /// # Errors
    ///
    /// See [`EraseError`]. What earlier calls have erased stays so.
    ///
    /// # Cancel safety
    ///
    /// One transaction, which is committed or not: call it again.
    pub async fn next(
        &mut self,
        schema: &Schema,
        conn: &mut PgConnection,
        aggregate: &Aggregate,
    ) -> Result<Erased, EraseError> {
        // The workers whose checkpoints it has moved read again meanwhile, and come to an end.
        tokio::time::sleep(self.took.min(LONGEST_PAUSE)).await;
        for _ in 0..ATTEMPTS {
            let started = Instant::now();
            let query = sqlx::query(schema.sql("SELECT version, events, finished FROM evenfold.erase($1, $2, $3)"))
                .bind(&aggregate.aggregate_type)
                .bind(&aggregate.aggregate_id)
                .bind(TOGETHER);
            match query.fetch_one(&mut *conn).await {
                Ok(row) => {
                    self.took = started.elapsed();
                    return Ok(erased(&row)?);
                }
                Err(error) => match error.as_database_error().and_then(DatabaseError::code).as_deref() {
                    // lock_not_available, deadlock_detected
                    Some("55P03" | "40P01") => {}
                    // insufficient_privilege
                    Some("42501") => return Err(EraseError::Denied(schema.clone())),
                    _ => return Err(error.into()),
                },
            }
        }
        Err(EraseError::Busy)
    }
}

fn erased(row: &PgRow) -> Result<Erased, sqlx::Error> {
    let events: i64 = row.try_get(1)?;
    Ok(Erased { version: row.try_get(0)?, events: events.unsigned_abs(), finished: row.try_get(2)? })
}

/// What was erased, in the order in which it was begun.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn erasures(schema: &Schema, conn: &mut PgConnection) -> Result<Vec<Erasure>, sqlx::Error> {
    let wanted = Wanted::load(schema, conn).await?;
    let rows = sqlx::query(schema.sql(
        "SELECT aggregate_type, aggregate_id, version, events, begun_by,
             to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), finished_at IS NOT NULL, read_models
         FROM evenfold.erasures ORDER BY erasure",
    ))
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let aggregate_type: String = row.try_get(0)?;
            Ok(Erasure {
                read_models: wanted.of(row.try_get(7)?, &aggregate_type),
                aggregate_type,
                aggregate_id: row.try_get(1)?,
                version: row.try_get(2)?,
                events: row.try_get(3)?,
                begun_by: row.try_get(4)?,
                begun_at: row.try_get(5)?,
                finished: row.try_get(6)?,
            })
        })
        .collect()
}

/// How many aggregates were erased after the projection had applied events of them, and before it was rebuilt: for
/// whoever compares its read model with what the log makes now.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn erased_since_applied(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
) -> Result<u64, sqlx::Error> {
    let definition = definition_of(schema, &mut *conn, projection).await?;
    let interest = definition.as_deref().map(interest_of).unwrap_or_default();
    let aggregates: i64 = sqlx::query_scalar(schema.sql(
        "SELECT count(DISTINCT (aggregate_type, aggregate_id)) FROM evenfold.erasures
         WHERE $1 = ANY (read_models) AND ($2::text[] IS NULL OR aggregate_type = ANY ($2))",
    ))
    .bind(projection)
    .bind(interest.aggregate_types())
    .fetch_one(conn)
    .await?;
    Ok(aggregates.unsigned_abs())
}

/// Which aggregates each projection wants.
struct Wanted(HashMap<String, crate::log::Interest>);

impl Wanted {
    async fn load(schema: &Schema, conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let definitions: Vec<(String, String)> =
            sqlx::query_as(schema.sql("SELECT name, definition FROM evenfold.projections")).fetch_all(conn).await?;
        Ok(Self(definitions.into_iter().map(|(name, definition)| (name, interest_of(&definition))).collect()))
    }

    /// Those of the projections that want aggregates of this type. One that is not known may.
    fn of(&self, projections: Vec<String>, aggregate_type: &str) -> Vec<String> {
        let wants = |name: &String| {
            let types = self.0.get(name).and_then(crate::log::Interest::aggregate_types);
            types.is_none_or(|types| types.iter().any(|one| one == aggregate_type))
        };
        projections.into_iter().filter(wants).collect()
    }
}
