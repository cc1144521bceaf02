use super::find::find;
use super::wake;
use crate::database::Schema;
use crate::event::{Aggregate, NewEvent};
use crate::hash::IdHash;
use serde_json::value::RawValue;
use sqlx::{Connection, PgConnection, Row};
use std::collections::HashSet;
use uuid::Uuid;

/// The most events of one call of [`append`].
pub const MAX_APPEND_EVENTS: usize = 10_000;

/// How often an append is tried after another writer was first. Each time that writer has committed, so the log goes
/// on, but of n writers who all want the same aggregate one wins at a time: 32 of them would need thirty tries on
/// average, and this many are not enough once in 10^13.
const MAX_ATTEMPTS: u32 = 1_000;

/// Where an event went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its place in the log.
    pub position: i64,
    /// Its place in its aggregate.
    pub version: i64,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The aggregate does not have the expected version. Read it again and decide again.
    #[error("{aggregate} was expected to have version {expected} and has {actual}")]
    Conflict {
        /// Which aggregate.
        aggregate: Aggregate,
        /// The version that the caller expected before its event.
        expected: i64,
        /// The version that it would have had.
        actual: i64,
        /// Which of the events, from 0.
        index: usize,
    },
    /// All of the events are in the log already, under these event ids: an earlier attempt got through.
    #[error("the events are in the log already: event id {first} has position {}", .appended[0].position)]
    AlreadyAppended {
        /// The id of the first of them.
        first: Uuid,
        /// Where they are, in the order of the events. Never empty.
        appended: Vec<Appended>,
    },
    /// Some of the event ids are taken, by other events.
    #[error("event id {event_id} is taken{}", .position.map_or(" twice in this call".to_owned(), |p| format!(" by the event at position {p}")))]
    DuplicateEventId {
        /// The id.
        event_id: Uuid,
        /// The event that has it; none when two events of this call have it.
        position: Option<i64>,
        /// Which of the events, from 0.
        index: usize,
    },
    /// Other writers were first, again and again.
    #[error(
        "other writers appended to the same aggregates {MAX_ATTEMPTS} times in a row: append fewer aggregates at once"
    )]
    Contended,
    /// More than [`MAX_APPEND_EVENTS`].
    #[error("{0} events at once are too many: append at most {MAX_APPEND_EVENTS}")]
    TooMany(usize),
    /// The connection of an [`Appender`](super::Appender) was lost, or its database did not answer in time. The events
    /// are in the log, all of them, or they are not: appending them again, with the same event ids, tells
    /// ([`AlreadyAppended`](Self::AlreadyAppended)).
    #[error("whether the events were appended is not known ({0}): append them again, with the same event ids")]
    Unanswered(String),
    /// The [`Appender`](super::Appender) was closed before. Nothing was appended.
    #[error("the appender is closed")]
    Closed,
    /// The database's.
    #[error("{}", crate::database::told(.0))]
    Database(#[from] sqlx::Error),
}

/// Appends all of the events or none to the log in the schema `evenfold`, and says which versions and positions they
/// got. For another schema there is [`Log`].
///
/// Inside the caller's transaction it is part of that transaction (READ COMMITTED; at a higher level other writers'
/// events can't be seen, and the append ends in [`AppendError::Contended`]). Without one it is a transaction of its
/// own. An expected version is that of the aggregate just before the event: earlier events of the same call count.
/// Writers of the same aggregate wait for each other's transactions to end.
///
/// When it commits it wakes the workers that sleep, by NOTIFY on the schema's [channel](Schema::channel), unless
/// another append of this process has just done so. PostgreSQL does not let a transaction that notifies be prepared for
/// a two-phase commit.
///
/// # Errors
///
/// See [`AppendError`]. The caller's transaction is as it was before, and can go on, except after
/// [`AppendError::Database`].
///
/// # Cancel safety
///
/// If the future is dropped, roll the transaction back; without a transaction of the caller's, all of the events are
/// in the log or none, and appending them again tells which ([`AppendError::AlreadyAppended`]).
pub async fn append(conn: &mut PgConnection, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
    append_in(&Schema::default(), conn, events).await
}

/// The log of one schema, where that is not the schema `evenfold`.
///
/// ```no_run
/// # async fn f(conn: &mut sqlx::PgConnection, events: Vec<evenfold::event::NewEvent>) -> Result<(), Box<dyn std::error::Error>> {
/// use evenfold::{log::Log, schema::Schema};
/// let orders = Log::in_schema(Schema::named("orders")?);
/// orders.append(conn, &events).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Log {
    schema: Schema,
}

impl Log {
    /// The log of this schema.
    #[must_use]
    pub fn in_schema(schema: Schema) -> Self {
        Self { schema }
    }

    /// Appends to it as [`append`] does to that of the schema `evenfold`.
    ///
    /// # Errors
    ///
    /// See [`append`].
    ///
    /// # Cancel safety
    ///
    /// See [`append`].
    pub async fn append(&self, conn: &mut PgConnection, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
        append_in(&self.schema, conn, events).await
    }
}

pub(super) async fn append_in(
    schema: &Schema,
    conn: &mut PgConnection,
    events: &[NewEvent],
) -> Result<Vec<Appended>, AppendError> {
    check(events)?;
    if events.is_empty() {
        return Ok(Vec::new());
    }
    for _ in 0..MAX_ATTEMPTS {
        match attempt(schema, conn, events).await {
            Ok(Outcome::Written(appended)) => return Ok(appended),
            Ok(Outcome::Conflict(conflict)) => return Err(find_taken(schema, conn, events).await?.unwrap_or(conflict)),
            Err(error) => match violated(&error) {
                Some("events_version_key") => {}
                Some("events_event_id_key") => {
                    return Err(find_taken(schema, conn, events).await?.unwrap_or(AppendError::Database(error)));
                }
                _ => return Err(AppendError::Database(error)),
            },
        }
    }
    Err(AppendError::Contended)
}

/// Refuses what is wrong whatever the log holds.
pub(super) fn check(events: &[NewEvent]) -> Result<(), AppendError> {
    if events.len() > MAX_APPEND_EVENTS {
        return Err(AppendError::TooMany(events.len()));
    }
    let mut ids = HashSet::with_capacity(events.len());
    match events.iter().position(|event| !ids.insert(event.event_id)) {
        Some(index) => Err(AppendError::DuplicateEventId { event_id: events[index].event_id, position: None, index }),
        None => Ok(()),
    }
}

/// Inserts the events once. What is not [`Outcome::Written`] leaves nothing behind, and the caller's transaction good.
async fn attempt(schema: &Schema, conn: &mut PgConnection, events: &[NewEvent]) -> Result<Outcome, sqlx::Error> {
    // One statement is all or nothing by itself, and a transaction around it would be two round trips more: by far
    // the most of what a single event costs.
    if !conn.is_in_transaction() {
        return insert(schema, conn, events, wake::of(schema).own()).await;
    }
    // A savepoint: a lost race must not abort what the caller has done before.
    let mut savepoint = conn.begin().await?;
    let outcome = insert(schema, &mut savepoint, events, wake::of(schema).callers()).await;
    match outcome {
        Ok(Outcome::Written(_)) => savepoint.commit().await?,
        _ => savepoint.rollback().await?,
    }
    outcome
}

enum Outcome {
    Written(Vec<Appended>),
    Conflict(AppendError),
}

/// Inserts the events, and wakes the workers when they are committed, if it is time to.
async fn insert(
    schema: &Schema,
    conn: &mut PgConnection,
    events: &[NewEvent],
    turns: &wake::Turns,
) -> Result<Outcome, sqlx::Error> {
    let notify = turns.take();
    let outcome = match events {
        [event] => match insert_one(schema, conn, event, notify).await {
            Ok(Some(appended)) => Ok(Outcome::Written(vec![appended])),
            // This one tells the version that the conflict is with.
            Ok(None) => insert_all(schema, conn, events, notify).await,
            Err(error) => Err(error),
        },
        _ => insert_all(schema, conn, events, notify).await,
    };
    if notify && !matches!(outcome, Ok(Outcome::Written(_))) {
        turns.give_back();
    }
    outcome
}

/// Inserts one event, unless its aggregate does not have the expected version. With the statement for any number of
/// events, 8 writers of single events get 0.7 of the throughput.
async fn insert_one(
    schema: &Schema,
    conn: &mut PgConnection,
    event: &NewEvent,
    notify: bool,
) -> Result<Option<Appended>, sqlx::Error> {
    let row = sqlx::query(schema.sql(include_str!("append_one.sql")))
        .bind(&event.aggregate.aggregate_type)
        .bind(&event.aggregate.aggregate_id)
        .bind(IdHash::of(&event.aggregate.aggregate_id).to_sql())
        .bind(event.event_id)
        .bind(&event.event_type)
        .bind(event.payload.get())
        .bind(event.metadata.as_deref().map(RawValue::get))
        .bind(event.expected.as_number())
        .bind(notify)
        .fetch_optional(conn)
        .await?;
    row.map(|row| Ok(Appended { version: row.try_get(0)?, position: row.try_get(1)? })).transpose()
}

async fn insert_all(
    schema: &Schema,
    conn: &mut PgConnection,
    events: &[NewEvent],
    notify: bool,
) -> Result<Outcome, sqlx::Error> {
    let order = by_aggregate(events);
    let sorted = || order.iter().map(|&(index, _)| &events[index]);
    let column = |part: fn(&NewEvent) -> &str| sorted().map(part).collect::<Vec<_>>();
    let rows = sqlx::query(schema.sql(include_str!("append.sql")))
        .bind(column(|event| &event.aggregate.aggregate_type))
        .bind(column(|event| &event.aggregate.aggregate_id))
        .bind(sorted().map(|event| IdHash::of(&event.aggregate.aggregate_id).to_sql()).collect::<Vec<_>>())
        .bind(sorted().map(|event| event.event_id).collect::<Vec<_>>())
        .bind(column(|event| &event.event_type))
        .bind(column(|event| event.payload.get()))
        .bind(sorted().map(|event| event.metadata.as_deref().map(RawValue::get)).collect::<Vec<_>>())
        .bind(sorted().map(|event| event.expected.as_number()).collect::<Vec<_>>())
        .bind(order.iter().map(|&(_, nth)| nth).collect::<Vec<_>>())
        .bind(notify)
        .fetch_all(conn)
        .await?;
    let mut placed = Vec::with_capacity(rows.len());
    let mut conflict: Option<(usize, i64)> = None;
    for (row, &(index, _)) in rows.iter().zip(&order) {
        let version: i64 = row.try_get(0)?;
        match row.try_get::<Option<i64>, _>(1)? {
            None => placed.push((index, Appended { position: row.try_get(2)?, version })),
            Some(ord) => {
                let at = usize::try_from(ord).ok().and_then(|ord| order.get(ord));
                let unknown = || sqlx::Error::Protocol(format!("event {ord} of {} is in conflict", order.len()));
                let found = (at.ok_or_else(unknown)?.0, version);
                conflict = Some(conflict.map_or(found, |first| first.min(found)));
            }
        }
    }
    if let Some((index, version)) = conflict {
        let unasked = || sqlx::Error::Protocol("an event that expects no version is in conflict".to_owned());
        return Ok(Outcome::Conflict(AppendError::Conflict {
            aggregate: events[index].aggregate.clone(),
            expected: events[index].expected.as_number().ok_or_else(unasked)?,
            actual: version - 1,
            index,
        }));
    }
    if placed.len() != events.len() {
        return Err(sqlx::Error::Protocol(format!("{} of {} events were inserted", placed.len(), events.len())));
    }
    placed.sort_unstable_by_key(|&(index, _)| index);
    Ok(Outcome::Written(placed.into_iter().map(|(_, appended)| appended).collect()))
}

/// The indices of the events sorted by aggregate, each with its number within its aggregate, from 1.
fn by_aggregate(events: &[NewEvent]) -> Vec<(usize, i64)> {
    let mut order: Vec<usize> = (0..events.len()).collect();
    // Stable: events of one aggregate stay in their order.
    order.sort_by_key(|&index| &events[index].aggregate);
    let mut nth = 0;
    let mut last = None;
    order
        .into_iter()
        .map(|index| {
            let aggregate = &events[index].aggregate;
            nth = if last == Some(aggregate) { nth + 1 } else { 1 };
            last = Some(aggregate);
            (index, nth)
        })
        .collect()
}

/// Whether the event ids are in the log: all of them, for the same aggregates (a retry), or some (a mistake).
async fn find_taken(
    schema: &Schema,
    conn: &mut PgConnection,
    events: &[NewEvent],
) -> Result<Option<AppendError>, sqlx::Error> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let mut appended = Vec::new();
    let mut same = true;
    for (index, (event, found)) in events.iter().zip(find(schema, conn, &ids).await?).enumerate() {
        same &= found.as_ref().is_some_and(|found| found.aggregate == event.aggregate);
        appended.extend(found.map(|found| (index, Appended { position: found.position, version: found.version })));
    }
    Ok(appended.first().map(|&(index, first)| {
        let event_id = events[index].event_id;
        if same {
            AppendError::AlreadyAppended { first: event_id, appended: appended.iter().map(|(_, a)| *a).collect() }
        } else {
            AppendError::DuplicateEventId { event_id, position: Some(first.position), index }
        }
    }))
}

fn violated(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().filter(|e| e.is_unique_violation())?.constraint()
}
