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
    #[error("{}", crate::database::told(.0))]
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
    let parked = list_parked(&mut tx, projection.name(), Some(aggregate), 1).await?;
    let retried =
        if parked.is_empty() { Retried::NotParked } else { apply_parked(&mut tx, projection, aggregate, None).await? };
    tx.commit().await?;
    projection.committed();
    Ok(retried)
}

/// Gives up the event for which an aggregate was parked, which stays on record as dropped, and applies the others as
/// far as they can be.
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
    let name = projection.name().to_owned();
    checkpoint::lock_and_bump(&mut tx, &name, aggregate).await?;
    let Some(cause) = list_parked(&mut tx, &name, Some(aggregate), 1).await?.pop() else {
        return Ok(Retried::NotParked);
    };
    // Dropped before anything is applied: the reason for parking may lie in its presence among the others.
    checkpoint::drop_parked(&mut tx, &name, cause.position).await?;
    let retried = apply_parked(&mut tx, projection, aggregate, Some(cause.position)).await?;
    tx.commit().await?;
    projection.committed();
    Ok(retried)
}

/// Applies parked events, in batches, until one can't be; moves on past the one that was just dropped.
async fn apply_parked<P: Projection>(
    tx: &mut PgConnection,
    projection: &mut P,
    aggregate: &Aggregate,
    dropped: Option<i64>,
) -> Result<Retried, RetryError> {
    let name = projection.name().to_owned();
    projection.forget();
    let mut events = EventBuffer::default();
    let (mut applied, mut version) = (0, 0);
    loop {
        checkpoint::parked_of(tx, &name, aggregate, (version, dropped), BATCH, &mut events).await?;
        let Some(last) = events.events().last() else {
            return Ok(Retried::Applied { events: applied });
        };
        version = last.version;
        let mut batch = Batch::new(&events, HashSet::new(), dropped.into_iter().collect());
        projection.apply(tx, &mut batch).await.map_err(RetryError::Projection)?;
        let still = batch.to_park();
        let kept: HashSet<i64> = still.iter().map(|parked| parked.event.position).chain(dropped).collect();
        let done: Vec<i64> = events.events().map(|e| e.position).filter(|p| !kept.contains(p)).collect();
        checkpoint::unpark(tx, &name, &done).await?;
        checkpoint::park(tx, &name, &still).await?;
        applied += done.len() as u64;
        if !still.is_empty() {
            let cause = list_parked(tx, &name, Some(aggregate), 1).await?.pop();
            return Ok(cause.map_or(Retried::Applied { events: applied }, |cause| Retried::Parked {
                events: applied,
                version: cause.version,
                reason: cause.reason,
            }));
        }
    }
}
