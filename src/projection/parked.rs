//! Parked aggregates: applying their events after all, or giving one up. Both work while workers run.

use super::{Batch, BoxError, Projection};
use crate::checkpoint::{self, list_parked};
use crate::event::Aggregate;
use crate::log::EventBuffer;
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;

/// Parked events that are applied at once.
const BATCH: i64 = 1_000;

/// What became of a parked aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// All of its parked events are applied.
    Applied {
        /// How many.
        events: u64,
    },
    /// One of them still can't be.
    Parked {
        /// How many were applied before it.
        events: u64,
        /// The version of the one that can't be.
        version: i64,
        /// Why.
        reason: String,
    },
    /// It was not parked.
    NotParked,
}

/// Why a parked aggregate could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The projection's own.
    #[error("the projection failed: {0}")]
    Projection(#[source] BoxError),
}

/// Applies the parked events of an aggregate, in the order of their versions, as far as they can be.
///
/// # Errors
///
/// See [`RetryError`]. Nothing has changed then.
///
/// # Cancel safety
///
/// One transaction.
pub async fn retry<P: Projection>(
    conn: &mut PgConnection,
    projection: &mut P,
    aggregate: &Aggregate,
) -> Result<Retried, RetryError> {
    let mut tx = conn.begin().await?;
    checkpoint::lock_and_bump(&mut tx, projection.name(), aggregate).await?;
    let retried = apply_parked(&mut tx, projection, aggregate).await?;
    tx.commit().await?;
    Ok(retried)
}

/// Gives up the first parked event of an aggregate, which stays on record as dropped, and applies those behind it.
///
/// # Errors
///
/// See [`RetryError`]. Nothing has changed then.
///
/// # Cancel safety
///
/// One transaction.
pub async fn drop_first<P: Projection>(
    conn: &mut PgConnection,
    projection: &mut P,
    aggregate: &Aggregate,
) -> Result<Retried, RetryError> {
    let mut tx = conn.begin().await?;
    checkpoint::lock_and_bump(&mut tx, projection.name(), aggregate).await?;
    projection.forget();
    let mut events = EventBuffer::default();
    checkpoint::parked_of(&mut tx, projection.name(), aggregate, 1, &mut events).await?;
    let Some(event) = events.events().next() else {
        return Ok(Retried::NotParked);
    };
    projection.skip(&mut tx, &event).await.map_err(RetryError::Projection)?;
    checkpoint::drop_parked(&mut tx, projection.name(), event.position).await?;
    let retried = match apply_parked(&mut tx, projection, aggregate).await? {
        Retried::NotParked => Retried::Applied { events: 0 },
        other => other,
    };
    tx.commit().await?;
    Ok(retried)
}

async fn apply_parked<P: Projection>(
    tx: &mut PgConnection,
    projection: &mut P,
    aggregate: &Aggregate,
) -> Result<Retried, RetryError> {
    let name = projection.name().to_owned();
    projection.forget();
    let mut events = EventBuffer::default();
    let mut applied = 0;
    loop {
        checkpoint::parked_of(tx, &name, aggregate, BATCH, &mut events).await?;
        if events.is_empty() {
            return Ok(if applied == 0 { Retried::NotParked } else { Retried::Applied { events: applied } });
        }
        let mut batch = Batch::new(&events, HashSet::new());
        projection.apply(tx, &mut batch).await.map_err(RetryError::Projection)?;
        let still = batch.to_park();
        let still_there: HashSet<i64> = still.iter().map(|parked| parked.event.position).collect();
        let done: Vec<i64> = events.events().map(|e| e.position).filter(|p| !still_there.contains(p)).collect();
        checkpoint::unpark(tx, &name, &done).await?;
        checkpoint::park(tx, &name, &still).await?;
        applied += done.len() as u64;
        if !still.is_empty() {
            let first = list_parked(tx, &name, Some(aggregate), 1).await?;
            return Ok(first.into_iter().next().map_or(Retried::Applied { events: applied }, |first| {
                Retried::Parked { events: applied, version: first.version, reason: first.reason }
            }));
        }
    }
}
