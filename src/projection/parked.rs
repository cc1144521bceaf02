//! Parked aggregates: applying their events after all, or dropping one. Both work while workers run.

use super::{Batch, BoxError, Projection, definition, interest_of};
use crate::checkpoint::{self, BEHIND, ParkedEvent, RegisterError, Together};
use crate::database::Schema;
use crate::event::Aggregate;
use crate::log::{EventBuffer, Interest, Layout, OpenSource, SourceError};
use crate::number::Position;
use crate::number::Version;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Parked events that are read and applied at once.
const CHUNK: i64 = 5_000;

/// Parked events of one transaction, unless one aggregate has more. The workers of its aggregates wait for it, for less
/// than a second.
const TOGETHER: i64 = 10_000;

/// The longest pause between two transactions.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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
        version: Version,
        /// Why.
        reason: String,
    },
    /// It was not parked.
    NotParked,
}

/// What became of many parked aggregates that were tried together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetriedTogether {
    /// How many they were.
    pub aggregates: u64,
    /// How many events were applied.
    pub applied: u64,
    /// How many events were looked at: those that were applied, and those that are still parked.
    pub events: u64,
    /// Those that are still parked.
    pub still: Vec<StillParked>,
}

/// An aggregate that is still parked after it was tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillParked {
    /// Which one.
    pub aggregate: Aggregate,
    /// The version of the event that can't be applied.
    pub version: Version,
    /// Why.
    pub reason: String,
}

/// Why a parked aggregate could not be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// The projection has another definition, or its checkpoints are incomplete.
    #[error(transparent)]
    Refused(RegisterError),
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
    /// The log is one that others write, and can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An event is in the log no more.
    #[error(
        "the event at position {position} of {aggregate} was removed from the log: it can't be applied any more, and \
         can be dropped"
    )]
    Removed {
        /// The event.
        position: Position,
        /// Whose it was.
        aggregate: Aggregate,
    },
    /// The projection's own.
    #[error("the projection failed: {0}")]
    Projection(#[source] BoxError),
}

impl From<RegisterError> for RetryError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Database(error) => Self::Database(error),
            other => Self::Refused(other),
        }
    }
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
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &mut P,
    aggregate: &Aggregate,
) -> Result<Retried, RetryError> {
    let mut tx = conn.begin().await?;
    let outcome = async {
        let together = checkpoint::one_parked(schema, &mut tx, projection.name(), aggregate).await?;
        lock(schema, &mut tx, projection, &together).await?;
        apply_parked(schema, &mut tx, projection, &together.aggregates, None).await
    };
    let outcome = outcome.await;
    Ok(end(tx, projection, outcome).await?.of_one())
}

/// Drops the event for which an aggregate was parked, which stays on record as dropped, and applies the others as far
/// as they can be.
///
/// # Errors
///
/// See [`RetryError`]. Nothing has changed then.
///
/// # Cancel safety
///
/// One transaction.
pub async fn drop_first<P: Projection>(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &mut P,
    aggregate: &Aggregate,
) -> Result<Retried, RetryError> {
    let mut tx = conn.begin().await?;
    let outcome = async {
        let name = projection.name().to_owned();
        let together = checkpoint::one_parked(schema, &mut tx, &name, aggregate).await?;
        lock(schema, &mut tx, projection, &together).await?;
        let Some(cause) = checkpoint::cause_of(schema, &mut tx, &name, aggregate).await? else {
            return Ok(RetriedTogether::default());
        };
        let outcome = apply_parked(schema, &mut tx, projection, &together.aggregates, Some(cause)).await?;
        checkpoint::drop_parked(schema, &mut tx, &name, cause).await?;
        Ok(outcome)
    };
    let outcome = outcome.await;
    Ok(end(tx, projection, outcome).await?.of_one())
}

/// Tries every parked aggregate again, many in one transaction, in the order of their names. Workers go on between two
/// transactions. Whoever is parked meanwhile may be met or not.
#[derive(Debug, Default)]
pub struct RetryAll {
    after: Option<Aggregate>,
    took: Duration,
}

impl RetryAll {
    /// The next aggregates: as many as have 10,000 parked events together, and one at least. None when all have been
    /// tried.
    ///
    /// # Errors
    ///
    /// See [`RetryError`]. Those of earlier calls are done; of these nothing has changed.
    ///
    /// # Cancel safety
    ///
    /// One transaction. Call it again: it begins with the same aggregates, of which none is parked any more if the
    /// transaction was committed.
    pub async fn next<P: Projection>(
        &mut self,
        schema: &Schema,
        conn: &mut PgConnection,
        projection: &mut P,
    ) -> Result<Option<RetriedTogether>, RetryError> {
        // A worker that has waited for the transaction finds its checkpoint moved, reads it and its events again, and
        // would find it moved once more: the next transaction would be there first each time.
        tokio::time::sleep(self.took.min(LONGEST_PAUSE)).await;
        let started = Instant::now();
        let mut tx = conn.begin().await?;
        let outcome = async {
            let after = self.after.as_ref();
            let mut together = checkpoint::next_parked(schema, &mut tx, projection.name(), after, TOGETHER).await?;
            lock(schema, &mut tx, projection, &together).await?;
            let outcome = apply_parked(schema, &mut tx, projection, &together.aggregates, None).await?;
            Ok(together.aggregates.pop().map(|last| (last, outcome)))
        };
        let outcome = outcome.await;
        let Some((last, outcome)) = end(tx, projection, outcome).await? else { return Ok(None) };
        (self.after, self.took) = (Some(last), started.elapsed());
        Ok(Some(outcome))
    }
}

/// Ends the transaction: one that is merely dropped keeps its locks until the connection is used again, and workers
/// wait.
async fn end<P: Projection, T>(
    tx: Transaction<'_, Postgres>,
    projection: &mut P,
    outcome: Result<T, RetryError>,
) -> Result<T, RetryError> {
    if outcome.is_ok() {
        tx.commit().await?;
        projection.committed();
    } else {
        // What went wrong is reported already.
        let _ = tx.rollback().await;
    }
    outcome
}

/// Makes this one more worker of the aggregates' checkpoints, for one transaction.
async fn lock<P: Projection>(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &P,
    together: &Together,
) -> Result<(), RetryError> {
    checkpoint::lock_and_bump(schema, tx, projection.name(), &together.hashes).await?;
    // Whoever changes the definition locks all checkpoints first.
    checkpoint::check_definition(schema, tx, projection.name(), &definition(projection)).await?;
    Ok(())
}

/// Applies the parked events of these aggregates, in chunks; moves on past the one that is to be dropped.
async fn apply_parked<P: Projection>(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &mut P,
    aggregates: &[Aggregate],
    dropped: Option<Position>,
) -> Result<RetriedTogether, RetryError> {
    let name = projection.name().to_owned();
    let mut log = match projection.source() {
        Some(source) => Some((source.open().await?, interest_of(projection))),
        None => None,
    };
    let layout = log.as_ref().map_or_else(|| Layout::from(schema), |(log, _)| log.layout().clone());
    projection.forget();
    let mut outcome = RetriedTogether { aggregates: aggregates.len() as u64, ..RetriedTogether::default() };
    let (mut events, mut reached) = (EventBuffer::default(), None);
    while let Some(at) = next_chunk(schema, tx, &mut log, (&name, aggregates), reached.as_ref(), &mut events).await? {
        // An aggregate that is cut in two between chunks, and was refused in the first, stays parked in the second.
        let refused = outcome.still.last().map(|still| still.aggregate.clone());
        let mut batch =
            Batch::new((schema, &layout), &events, refused.into_iter().collect(), dropped.into_iter().collect());
        projection.apply(tx, &mut batch).await.map_err(RetryError::Projection)?;
        if batch.given_back().is_some() {
            return Err(RetryError::Projection("another transaction was in the way: try again".into()));
        }
        let still = batch.to_park();
        let kept: HashSet<Position> = still.iter().map(|parked| parked.event.position).chain(dropped).collect();
        let done: Vec<Position> = events.events().map(|e| e.position).filter(|p| !kept.contains(p)).collect();
        checkpoint::unpark(schema, tx, &name, &done).await?;
        checkpoint::park(schema, tx, &name, &still).await?;
        outcome.events += events.len() as u64;
        outcome.applied += done.len() as u64;
        for parked in &still {
            outcome.add(parked);
        }
        reached = Some(at);
    }
    Ok(outcome)
}

/// Reads the next parked events of these aggregates.
async fn next_chunk(
    schema: &Schema,
    tx: &mut PgConnection,
    log: &mut Option<(OpenSource, Interest)>,
    (name, aggregates): (&str, &[Aggregate]),
    reached: Option<&checkpoint::Reached>,
    events: &mut EventBuffer,
) -> Result<Option<checkpoint::Reached>, RetryError> {
    let Some((log, interest)) = log else {
        return Ok(checkpoint::parked_after(schema, tx, name, aggregates, reached, CHUNK, events).await?);
    };
    let waiting = checkpoint::parked_places_after(schema, tx, name, aggregates, reached, CHUNK).await?;
    let positions: Vec<Position> = waiting.iter().map(|(position, _)| *position).collect();
    let mut read = EventBuffer::default();
    log.read_at(&positions, interest, &mut read).await?;
    let wanted: HashSet<&Aggregate> = aggregates.iter().collect();
    let (mut found, mut at) = (read.events(), None);
    events.clear();
    events.parsed_as(&read);
    for (position, place) in waiting {
        match found.next() {
            Some(event) if event.position == position => {
                // One that was parked just now, between two of them: its checkpoint may not be locked.
                if wanted.contains(&place.aggregate) {
                    events.push(&event);
                }
            }
            // The rest is read the next time.
            None if read.is_full() => break,
            _ => return Err(RetryError::Removed { position, aggregate: place.aggregate }),
        }
        at = Some(place);
    }
    Ok(at)
}

impl RetriedTogether {
    /// Notes an event that is still parked. Those of one aggregate come one after the other.
    fn add(&mut self, ParkedEvent { event, reason }: &ParkedEvent<'_>) {
        let is_of = |still: &StillParked| {
            still.aggregate.aggregate_type == event.aggregate_type && still.aggregate.aggregate_id == event.aggregate_id
        };
        match self.still.last_mut().filter(|still| is_of(still)) {
            Some(still) if still.reason == BEHIND && *reason != BEHIND => {
                (still.version, still.reason) = (event.version, (*reason).to_owned());
            }
            Some(_) => {}
            None => self.still.push(StillParked {
                aggregate: Aggregate {
                    aggregate_type: event.aggregate_type.to_owned(),
                    aggregate_id: event.aggregate_id.to_owned(),
                },
                version: event.version,
                reason: (*reason).to_owned(),
            }),
        }
    }

    fn of_one(mut self) -> Retried {
        match self.still.pop() {
            Some(StillParked { version, reason, .. }) => Retried::Parked { events: self.applied, version, reason },
            None if self.events == 0 => Retried::NotParked,
            None => Retried::Applied { events: self.applied },
        }
    }
}
