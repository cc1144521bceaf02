//! The statements that insert events.

use super::outcome::{AppendError, Appended};
use super::wake;
use crate::database::Schema;
use crate::event::NewEvent;
use crate::hash::IdHash;
use crate::number::Version;
use serde_json::value::RawValue;
use sqlx::{Connection, PgConnection, Row};
use std::time::Instant;

/// What an insert has come to.
pub(super) enum Inserted {
    Written(Vec<Appended>),
    Conflict(AppendError),
}

/// Inserts the events, and wakes the workers when they are committed, if it is time to.
pub(super) async fn insert(
    schema: &Schema,
    conn: &mut PgConnection,
    events: &[NewEvent],
    turns: &wake::Turns,
) -> Result<Inserted, sqlx::Error> {
    let notify = turns.take();
    let (started, is_in_transaction) = (Instant::now(), conn.is_in_transaction());
    let outcome = match events {
        [event] => match insert_one(schema, conn, event, notify).await {
            Ok(Some(appended)) => Ok(Inserted::Written(vec![appended])),
            // This one shows the version that the conflict is with.
            Ok(None) => insert_all(schema, conn, events, notify).await,
            Err(error) => Err(error),
        },
        _ => insert_all(schema, conn, events, notify).await,
    };
    match outcome {
        _ if !notify => {}
        Ok(Inserted::Written(_)) if !is_in_transaction => turns.took(started.elapsed()),
        Ok(Inserted::Written(_)) => {}
        _ => turns.give_back(),
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
        .bind(event.recorded_at)
        .fetch_optional(conn)
        .await?;
    row.map(|row| Ok(Appended { version: row.try_get(0)?, position: row.try_get(1)? })).transpose()
}

async fn insert_all(
    schema: &Schema,
    conn: &mut PgConnection,
    events: &[NewEvent],
    notify: bool,
) -> Result<Inserted, sqlx::Error> {
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
        .bind(sorted().map(|event| event.recorded_at).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    let mut placed = Vec::with_capacity(rows.len());
    let mut conflict: Option<(usize, Version)> = None;
    for (row, &(index, _)) in rows.iter().zip(&order) {
        let version: Version = row.try_get(0)?;
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
        return Ok(Inserted::Conflict(AppendError::Conflict {
            aggregate: events[index].aggregate.clone(),
            expected: events[index].expected.as_number().ok_or_else(unasked)?,
            actual: Version::new(version.get() - 1),
            index,
        }));
    }
    if placed.len() != events.len() {
        return Err(sqlx::Error::Protocol(format!("{} of {} events were inserted", placed.len(), events.len())));
    }
    placed.sort_unstable_by_key(|&(index, _)| index);
    Ok(Inserted::Written(placed.into_iter().map(|(_, appended)| appended).collect()))
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
