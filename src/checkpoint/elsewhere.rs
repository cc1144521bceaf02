//! What a projection has applied of a log that others write, which may be in another database than its checkpoints.
//!
//! Two statements can't be one snapshot here. Checkpoints are read before the log, so that nothing is taken for applied
//! that is not: an event that commits in between counts as one that is not applied yet.

use super::answers::{ClassLag, Delivery, Lag};
use super::{CheckpointRow, load};
use crate::class::{Class, is_exact_cover};
use crate::database::Schema;
use crate::event::Aggregate;
use crate::invariant::broken;
use crate::log::{Addressed, ClassProgress, Interest, OpenSource};
use crate::number::Position;
use sqlx::{PgConnection, Row};
use std::time::Duration;

/// What each class inside a partition has not applied, up to a position: counted.
pub(super) async fn count(
    schema: &Schema,
    conn: &mut PgConnection,
    log: &mut OpenSource,
    (projection, partition): (&str, Class),
    interest: &Interest,
    last: Position,
) -> Result<Vec<ClassLag>, sqlx::Error> {
    let rows = load(schema, conn, projection, partition).await?;
    let classes: Vec<ClassProgress<'_>> = rows.iter().map(|row| row.checkpoint.reached(row.class)).collect();
    let counted = log.unapplied(&classes, interest, last).await?;
    let lag = |(row, (events, age)): (&CheckpointRow, (u64, Duration))| ClassLag {
        projection: projection.to_owned(),
        class: row.class,
        lag: Lag { events, age },
    };
    Ok(rows.iter().zip(counted).map(lag).collect())
}

/// The lag of each class inside a partition by the positions that are left, if they are more than these.
pub(super) async fn estimates(
    schema: &Schema,
    conn: &mut PgConnection,
    log: &mut OpenSource,
    (projection, partition): (&str, Class),
    most: i64,
) -> Result<Option<Vec<ClassLag>>, sqlx::Error> {
    let rows = load(schema, conn, projection, partition).await?;
    let last = log.last_position().await?;
    let left = |row: &CheckpointRow| last.distance_from(row.checkpoint.bound()).max(0);
    if rows.iter().map(left).max().unwrap_or_default() <= most {
        return Ok(None);
    }
    let bounds: Vec<Position> = rows.iter().map(|row| row.checkpoint.bound()).collect();
    let ages = log.ages_after(&bounds).await?;
    let lag = |(row, age): (&CheckpointRow, Duration)| ClassLag {
        projection: projection.to_owned(),
        class: row.class,
        lag: Lag { events: left(row).unsigned_abs() / u64::from(row.class.modulus()), age },
    };
    Ok(Some(rows.iter().zip(ages).map(lag).collect()))
}

/// What has become of the events at these positions.
pub(super) async fn at(
    schema: &Schema,
    conn: &mut PgConnection,
    log: &mut OpenSource,
    (projection, positions): (&str, &[Position]),
    interest: &Interest,
) -> Result<Delivery, sqlx::Error> {
    let mut events = log.addressed(positions, interest).await?;
    let visible = |position: &Position| events.iter().any(|event| event.position == *position);
    if let Some(&position) = positions.iter().filter(|position| !visible(position)).min() {
        return Ok(Delivery::NotVisible(position));
    }
    events.retain(|event| event.wanted);
    // Before what is parked: an event that was parked in between is found parked, and one that was retried is applied.
    let rows = load(schema, &mut *conn, projection, whole()?).await?;
    let parked = parked_before(schema, conn, projection, &events).await?;
    let mut states: Vec<Delivery> = Vec::with_capacity(events.len());
    for (event, parked) in events.iter().zip(parked) {
        states.push(state(event, parked, &rows));
    }
    Ok(first_of(states))
}

/// What has become of all that is visible up to a position.
pub(super) async fn up_to(
    schema: &Schema,
    conn: &mut PgConnection,
    log: &mut OpenSource,
    (projection, last): (&str, Position),
    interest: &Interest,
) -> Result<Delivery, sqlx::Error> {
    let counted = count(schema, &mut *conn, log, (projection, whole()?), interest, last).await?;
    let classes: Vec<Class> = counted.iter().map(|row| row.class).collect();
    if !is_exact_cover(whole()?, &classes) {
        return Ok(Delivery::Uncovered);
    }
    let parked = sqlx::query(schema.sql(
        "SELECT position, aggregate_type, aggregate_id, reason FROM evenfold.parked_events
         WHERE projection = $1 AND dropped_at IS NULL AND position <= $2 ORDER BY position LIMIT 1",
    ))
    .bind(projection)
    .bind(last)
    .fetch_optional(conn)
    .await?;
    if let Some(row) = parked {
        let aggregate = Aggregate { aggregate_type: row.try_get(1)?, aggregate_id: row.try_get(2)? };
        return Ok(Delivery::Parked { position: row.try_get(0)?, aggregate, reason: row.try_get(3)? });
    }
    let pending: Vec<Class> = counted.iter().filter(|row| row.lag.events > 0).map(|row| row.class).collect();
    Ok(if pending.is_empty() { Delivery::Applied } else { Delivery::Pending(pending) })
}

fn whole() -> Result<Class, sqlx::Error> {
    Class::partition(0, 1).map_err(|error| broken(&error.to_string()))
}

/// What is parked of an event's aggregate: the first event that waits, and whether the event itself waits or was
/// dropped.
struct OfAggregate {
    cause: Option<Delivery>,
    dropped: Option<bool>,
}

async fn parked_before(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    events: &[Addressed],
) -> Result<Vec<OfAggregate>, sqlx::Error> {
    let rows = sqlx::query(schema.sql(include_str!("parked_before.sql")))
        .bind(projection)
        .bind(events.iter().map(|event| event.position).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.aggregate.aggregate_type.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.aggregate.aggregate_id.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.version).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    rows.iter()
        .zip(events)
        .map(|(row, event)| {
            let cause = match row.try_get::<Option<Position>, _>(0)? {
                Some(position) => {
                    let (aggregate, reason) = (event.aggregate.clone(), row.try_get(1)?);
                    Some(Delivery::Parked { position, aggregate, reason })
                }
                None => None,
            };
            Ok(OfAggregate { cause, dropped: row.try_get(2)? })
        })
        .collect()
}

fn state(event: &Addressed, parked: OfAggregate, rows: &[CheckpointRow]) -> Delivery {
    let mut own = rows.iter().filter(|row| row.class.contains(event.hash));
    let (Some(row), None) = (own.next(), own.next()) else { return Delivery::Uncovered };
    let passed = row.checkpoint.applied(event.xid, event.key);
    match (parked.dropped, parked.cause) {
        (Some(true), _) => Delivery::Dropped(event.position),
        (Some(false), Some(cause)) => cause,
        (None, Some(cause)) if !passed => cause,
        _ if passed => Delivery::Applied,
        _ => Delivery::Pending(vec![row.class]),
    }
}

/// Of several answers the first in the order of [`Delivery`]'s list; what is pending in several classes is one.
fn first_of(states: Vec<Delivery>) -> Delivery {
    let mut pending: Vec<Class> = Vec::new();
    let (mut parked, mut dropped) = (None, None);
    for state in states {
        match state {
            Delivery::Applied => {}
            Delivery::Pending(classes) => pending.extend(classes),
            parking @ Delivery::Parked { .. } => parked = parked.or(Some(parking)),
            dropping @ Delivery::Dropped(_) => dropped = dropped.or(Some(dropping)),
            other => return other,
        }
    }
    pending.sort_unstable();
    pending.dedup();
    let rest = if pending.is_empty() { Delivery::Applied } else { Delivery::Pending(pending) };
    parked.or(dropped).unwrap_or(rest)
}
