//! Appending: all of the events or none, with the versions that are expected.

use super::find::find;
use super::insert::{Inserted, insert};
use super::outcome::{AppendError, Appended, MAX_APPEND_EVENTS, MAX_ATTEMPTS};
use super::wake;
use crate::database::Schema;
use crate::event::NewEvent;
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;
use uuid::Uuid;

/// Appends all of the events or none to the log in the schema `evenfold`, and says which versions and positions they
/// got. For another schema there is [`Log`](super::Log).
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
/// in the log or none, and appending them again shows which ([`AppendError::AlreadyAppended`]).
pub async fn append(conn: &mut PgConnection, events: &[NewEvent]) -> Result<Vec<Appended>, AppendError> {
    append_in(&Schema::default(), conn, events).await
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
            Ok(Inserted::Written(appended)) => return Ok(appended),
            Ok(Inserted::Conflict(conflict)) => {
                return Err(find_taken(schema, conn, events).await?.unwrap_or(conflict));
            }
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

/// Inserts the events once. What is not [`Inserted::Written`] leaves nothing behind, and the caller's transaction good.
async fn attempt(schema: &Schema, conn: &mut PgConnection, events: &[NewEvent]) -> Result<Inserted, sqlx::Error> {
    // One statement is all or nothing by itself, and a transaction around it would be two round trips more: by far
    // the most of what a single event costs.
    if !conn.is_in_transaction() {
        return insert(schema, conn, events, wake::of(schema).own()).await;
    }
    // A savepoint: a lost race must not abort what the caller has done before.
    let mut savepoint = conn.begin().await?;
    let outcome = insert(schema, &mut savepoint, events, wake::of(schema).callers()).await;
    match outcome {
        Ok(Inserted::Written(_)) => savepoint.commit().await?,
        _ => savepoint.rollback().await?,
    }
    outcome
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
