//! Comparing the read model with the log, by SQL alone.

use crate::counter::AmountPointer;
use crate::database::Schema;
use crate::number::{Position, Version};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};

/// The amount of an event, 0 of one that was erased. It fails for a payload that SQL can't read, which fails the
/// statement.
const AMOUNT: &str = r#"CASE WHEN pg_column_size(e.payload) < 64 AND e.payload::text = '{"evenfold_erased":true}' THEN 0
    ELSE coalesce((e.payload #>> $1)::bigint, 1) END"#;

/// The same, which fails for no event: null where it might. For the escapes see `src/event/json.rs`: without escaped
/// backslashes and whole pairs, what is left of `\u0000` and the surrogates is what can't be read.
const CAREFUL_AMOUNT: &str = r#"CASE
    WHEN e.payload::text = '{"evenfold_erased":true}' THEN 0
    WHEN octet_length(e.payload::text) > 1048576 THEN NULL
    WHEN octet_length(e.payload::text) > 1000
        AND length(e.payload::text) - length(translate(e.payload::text, '[{', '')) > 500 THEN NULL
    WHEN strpos(e.payload::text, '\u') > 0
        AND regexp_replace(replace(e.payload::text, '\\', '__'),
                '\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}', '_', 'g')
            ~ '\\u(0000|[dD][89a-fA-F])' THEN NULL
    WHEN coalesce(e.payload #>> $1, '1') ~ '^-?[0-9]{1,18}$' THEN coalesce((e.payload #>> $1)::bigint, 1)
    END"#;

/// How many events of which the amount might not be readable are asked for at once.
const AT_ONCE: usize = 1_000;

/// A counter, as one of the two has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// How many events were applied.
    pub events: i64,
    /// The sum of their amounts, in digits; none if it is not known, because PostgreSQL can't read one of them.
    pub value: Option<String>,
    /// The version of the last event that was applied or dropped.
    pub version: Version,
    /// The position of the last event that was applied.
    pub last_position: Position,
}

/// An event that is applied, although SQL can't read its amount: an older version of evenfold has folded it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct UnreadableEvent {
    /// Its position in the log.
    pub position: Position,
    /// What PostgreSQL says of its payload.
    pub reason: String,
}

/// A counter that is not what the log makes of it, or may not be: that can't be decided.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// The kind of aggregate.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
    /// What the log says; none where it has no event of the aggregate that is applied or parked.
    pub log: Option<Tally>,
    /// What the read model says; none where it has no row.
    pub read_model: Option<Tally>,
    /// Why the log's value is not known.
    pub unreadable: Option<UnreadableEvent>,
}

/// Folds the events that are applied by one SQL query, as of one snapshot, and gives the counters that are not the same
/// in the read model, in the order of their names: at most `limit`. All columns are compared, also of counters without
/// events; but not the value of an aggregate that was erased after it was applied. Right also while workers run. Parked
/// events count on neither side.
///
/// One pass over the log; two where an event is applied that SQL can't read, which is named.
///
/// # Errors
///
/// The database's; no event of the log is the cause of one.
///
/// # Cancel safety
///
/// Reads only.
pub async fn mismatches(
    schema: &Schema,
    conn: &mut PgConnection,
    pointer: &AmountPointer,
    limit: u32,
) -> Result<Vec<Mismatch>, sqlx::Error> {
    let rows = match compare(schema, conn, pointer, limit, AMOUNT).await {
        Err(error) if is_of_data(&error) => compare(schema, conn, pointer, limit, CAREFUL_AMOUNT).await,
        done => done,
    }?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut differ, mut resolved) = (Vec::new(), 0);
    for row in &rows {
        let mut mismatch = decode(row)?;
        let (rest_agrees, unread): (Option<bool>, Option<Vec<Position>>) = (row.try_get(10)?, row.try_get(11)?);
        if let (Some(log), Some(unread)) = (&mut mismatch.log, unread) {
            // These come last, each with what it costs to look at its events.
            if resolved == limit {
                break;
            }
            match sum_of(schema, conn, pointer, &unread).await? {
                Ok(rest) => log.value = Some((number(log.value.as_deref())? + rest).to_string()),
                Err(event) => (log.value, mismatch.unreadable) = (None, Some(event)),
            }
            let value = mismatch.read_model.as_ref().and_then(|counter| counter.value.as_ref());
            if rest_agrees == Some(true) && value.is_some() && log.value.as_ref() == value {
                continue;
            }
            resolved += 1;
        }
        differ.push(mismatch);
    }
    differ.sort_by(|a, b| (&a.aggregate_type, &a.aggregate_id).cmp(&(&b.aggregate_type, &b.aggregate_id)));
    differ.truncate(limit);
    Ok(differ)
}

/// The counters that differ, and those with events that were not read.
async fn compare(
    schema: &Schema,
    conn: &mut PgConnection,
    pointer: &AmountPointer,
    limit: u32,
    amount: &str,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let statement = schema.sql(include_str!("mismatches.sql").replace("{amount}", amount));
    // A savepoint where the caller has a transaction: it must be good for the next attempt.
    let mut tx = conn.begin().await?;
    let query = sqlx::query(statement).bind(pointer.parts()).bind(super::NAME).bind(i64::from(limit));
    let rows = query.fetch_all(&mut *tx).await;
    tx.rollback().await?;
    rows
}

/// The sum of the amounts of these events, or the first one found that SQL can't read.
async fn sum_of(
    schema: &Schema,
    conn: &mut PgConnection,
    pointer: &AmountPointer,
    positions: &[Position],
) -> Result<Result<i128, UnreadableEvent>, sqlx::Error> {
    let mut sum = 0;
    let mut left: Vec<&[Position]> = positions.chunks(AT_ONCE).rev().collect();
    while let Some(some) = left.pop() {
        let mut tx = conn.begin().await?;
        let query = format!("SELECT sum({AMOUNT})::text FROM evenfold.events e WHERE e.position = ANY ($2)");
        let read: Result<Option<String>, _> =
            sqlx::query_scalar(schema.sql(query)).bind(pointer.parts()).bind(some).fetch_one(&mut *tx).await;
        tx.rollback().await?;
        match read {
            Ok(part) => sum += number(part.as_deref())?,
            Err(error) if is_of_data(&error) => {
                let (first, second) = some.split_at(some.len() / 2);
                match second {
                    &[position] if first.is_empty() => {
                        return Ok(Err(UnreadableEvent { position, reason: message(&error) }));
                    }
                    _ => left.extend([second, first]),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(sum))
}

/// Whether what the database refuses is in an event: not what was asked for, and nothing that passes. Too deep a
/// nesting is beyond a limit of the program.
fn is_of_data(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("54"))
}

fn message(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// A sum of amounts: of 64 bits each, so that 2^63 of them fit.
fn number(sum: Option<&str>) -> Result<i128, sqlx::Error> {
    sum.unwrap_or_default().parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

pub(super) fn decode(row: &PgRow) -> Result<Mismatch, sqlx::Error> {
    let tally = |at: usize| -> Result<Option<Tally>, sqlx::Error> {
        let Some(events) = row.try_get(at)? else { return Ok(None) };
        let (value, version, last_position) = (row.try_get(at + 1)?, row.try_get(at + 2)?, row.try_get(at + 3)?);
        Ok(Some(Tally { events, value, version, last_position }))
    };
    Ok(Mismatch {
        aggregate_type: row.try_get(0)?,
        aggregate_id: row.try_get(1)?,
        log: tally(2)?,
        read_model: tally(6)?,
        unreadable: None,
    })
}
