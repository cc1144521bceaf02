//! What can be found out about a log that others write, for whoever wants to fold it.

use super::facts::find;
use super::{Foreign, Mapping, Positions, Refusal, refusals};
use sqlx::{PgConnection, Row};

const WATCHED: &str = include_str!("watched.sql");

/// Up to so many events are counted.
const MOST_COUNTED: i64 = 1_000_000;

/// What is known about a log that others write.
#[derive(Debug, Clone)]
pub struct LogReport {
    /// How it is read.
    pub log: Foreign,
    /// How its positions are drawn.
    pub drawn: Option<DrawnFrom>,
    /// What keeps it from being folded.
    pub refusals: Vec<Refusal>,
    /// How many events there are; none where the user may not read them, or they can't be read as they are mapped.
    pub events: Option<EventCount>,
    /// How many transactions hold the lock of its sequence: those that have drawn positions and have not ended. None
    /// where it has no sequence, or the user may not use its schema.
    pub holders: Option<usize>,
    /// How many rows have been deleted since PostgreSQL's statistics began.
    pub deleted: i64,
    /// Triggers that may change a row before it is written.
    pub triggers: Vec<String>,
    /// Whether the user may read it.
    pub readable: bool,
    /// What the user needs to read it.
    pub grant: String,
}

/// The sequence that positions are drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnFrom {
    /// As SQL has it.
    pub sequence: String,
    /// How many numbers a session takes at once.
    pub cache: i64,
    /// From one number to the next.
    pub increment: i64,
}

/// How many events there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventCount {
    /// These, counted.
    Counted(i64),
    /// More than a million: about these, by PostgreSQL's statistics.
    Estimated(i64),
}

/// What is known about the log of a mapping; none where there is no such table.
///
/// # Errors
///
/// The database's, and [`InvalidMapping`](super::InvalidMapping) as a protocol error.
///
/// # Cancel safety
///
/// Reads only.
pub async fn report(conn: &mut PgConnection, mapping: &Mapping) -> Result<Option<LogReport>, sqlx::Error> {
    let Some(facts) = find(conn, mapping, None).await? else { return Ok(None) };
    let sequence = facts.sequence.as_ref().map(|sequence| sequence.name.clone()).unwrap_or_default();
    let log =
        mapping.layout(Positions::Sequence(sequence)).map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
    let refusals = refusals(&log, conn).await?;
    let readable = facts.rights.readable;
    let counts = matches!(log.positions(), Positions::Sequence(_));
    let drawn = facts.sequence.as_ref().filter(|_| counts).map(|sequence| DrawnFrom {
        sequence: sequence.name.clone(),
        cache: sequence.cache,
        increment: sequence.increment,
    });
    let holders = if drawn.is_some() && facts.rights.usable { Some(log.holders(conn).await?.len()) } else { None };
    let row = sqlx::query(WATCHED).bind(&mapping.table).fetch_one(&mut *conn).await?;
    let events = if refusals.is_empty() { Some(events(&log, row.try_get(2)?, conn).await?) } else { None };
    let (deleted, triggers) = (row.try_get(0)?, row.try_get(1)?);
    let grant = mapping.grant(&facts.rights.role, facts.rights.usable);
    Ok(Some(LogReport { log, drawn, refusals, events, holders, deleted, triggers, readable, grant }))
}

async fn events(log: &Foreign, estimate: i64, conn: &mut PgConnection) -> Result<EventCount, sqlx::Error> {
    let sql = "SELECT count(*) FROM (SELECT FROM {log} LIMIT $1) AS counted";
    let counted: i64 = sqlx::query_scalar(log.statement(sql)).bind(MOST_COUNTED + 1).fetch_one(conn).await?;
    let all = counted <= MOST_COUNTED;
    Ok(if all { EventCount::Counted(counted) } else { EventCount::Estimated(estimate.max(counted)) })
}
