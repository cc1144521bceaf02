//! Folding again, in one transaction, exactly the events that the checkpoints say are applied.

use crate::checkpoint::{self, Checkpoint, CheckpointRow};
use crate::class::Class;
use crate::database::Schema;
use crate::event::{Aggregate, Event};
use crate::log::{
    EventBuffer, Fence, Interest, Layout, OpenSource, Slice, Snapshot, SourceError, Window, WindowReader,
};
use crate::number::{Position, Version};
use crate::projection::{Batch, BoxError, CHUNK, Projection, interest_of};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};

/// An event that is applied by the checkpoints, and that the projection refuses to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEvent {
    /// Its position.
    pub position: Position,
    /// Its aggregate.
    pub aggregate: Aggregate,
    /// Its version.
    pub version: Version,
    /// Why it is refused.
    pub reason: String,
    /// Whether what it contained was erased.
    pub erased: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// How many events were applied.
    pub(crate) events: u64,
    /// The first events that were refused, by which it ended.
    pub(crate) refused: Vec<RefusedEvent>,
}

/// Why it has failed.
pub(crate) enum FoldError {
    Apply { first: Position, last: Position, error: BoxError },
    Source(SourceError),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for FoldError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// How far the classes are, to be asked by an event's hash.
struct AppliedByClass(Vec<(u32, HashMap<u32, Checkpoint>)>);

impl AppliedByClass {
    fn of(rows: Vec<CheckpointRow>) -> Self {
        let mut moduli: Vec<(u32, HashMap<u32, Checkpoint>)> = Vec::new();
        for CheckpointRow { class, checkpoint, .. } in rows {
            let at = moduli.iter().position(|(modulus, _)| *modulus == class.modulus()).unwrap_or_else(|| {
                moduli.push((class.modulus(), HashMap::new()));
                moduli.len() - 1
            });
            moduli[at].1.insert(class.residue(), checkpoint);
        }
        Self(moduli)
    }

    /// Whether the event is applied, written by this transaction: by the hash that is stored, as workers read it.
    fn contains(&self, event: &Event<'_>, xid: u64) -> bool {
        let checkpoint = |(modulus, classes): &(u32, HashMap<u32, Checkpoint>)| {
            classes.get(&(event.hash.value() % modulus)).is_some_and(|own| own.applied(xid, event.position))
        };
        self.0.iter().any(checkpoint)
    }
}

/// Which events are not applied.
struct Pending {
    applied: AppliedByClass,
    /// Of a log whose positions are in no order: the aggregates of which an event is not applied. No later one is,
    /// whatever its position.
    of_versions: Option<HashSet<Aggregate>>,
}

/// Reads the log as of the transaction's snapshot, from one chunk to the next.
struct Reader<'a> {
    schema: &'a Schema,
    projection: String,
    interest: Interest,
    /// Where others write it.
    log: Option<OpenSource>,
    start: Fence,
    upto: Fence,
    after: Position,
    ended: bool,
    any_parked: bool,
    windows: WindowReader,
    pending: Pending,
    buffer: EventBuffer,
}

/// Events that are applied.
struct AppliedChunk {
    events: EventBuffer,
    dropped: HashSet<Position>,
}

impl<'a> Reader<'a> {
    async fn start(
        schema: &'a Schema,
        conn: &mut PgConnection,
        mut log: Option<OpenSource>,
        projection: &str,
        (whole, interest): (Class, Interest),
    ) -> Result<Self, sqlx::Error> {
        let applied = AppliedByClass::of(checkpoint::load(schema, conn, projection, whole).await?);
        let any_parked = checkpoint::has_parked(schema, conn, projection, whole).await?;
        let snapshot: String = sqlx::query_scalar("SELECT pg_current_snapshot()::text").fetch_one(conn).await?;
        let snapshot: Snapshot = snapshot.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        // What is visible later is applied by no checkpoint that was read before.
        let upto = match &mut log {
            Some(log) => log.visible_now().await?,
            None => Fence::of_transactions(Position::new(i64::MAX), snapshot, u64::MAX),
        };
        let of_versions = log.as_ref().filter(|log| log.has_transactions()).map(|_| HashSet::new());
        let pending = Pending { applied, of_versions };
        Ok(Self {
            schema,
            projection: projection.to_owned(),
            interest: interest.with_xid(),
            start: if log.is_some() { Fence::of_positions(Position::START, Vec::new()) } else { Fence::before_all() },
            upto,
            windows: WindowReader::default(),
            pending,
            log,
            after: Position::START,
            ended: false,
            any_parked,
            buffer: EventBuffer::default(),
        })
    }

    /// The next events that are applied; none at the end of the log.
    async fn next(&mut self, conn: &mut PgConnection, whole: Class) -> Result<Option<AppliedChunk>, sqlx::Error> {
        while !self.ended {
            let window = Window { seen: &self.start, upto: &self.upto, after: self.after };
            let slice = Slice::of(&[whole]);
            let own = Layout::from(self.schema);
            let (layout, reader) = match &mut self.log {
                Some(log) => log.parts(),
                None => (&own, &mut *conn),
            };
            let complete = self
                .windows
                .read(layout, reader, window, (&slice, &self.interest), CHUNK, &mut self.buffer)
                .await?
                .complete;
            self.ended = complete;
            self.after = self.buffer.last_position().unwrap_or(self.after);
            let chunk = self.applied_of_buffer(conn).await?;
            if !chunk.events.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Those of the events that were read which are applied: less those that are parked, with those that an operator
    /// has dropped, which the batch marks.
    async fn applied_of_buffer(&mut self, conn: &mut PgConnection) -> Result<AppliedChunk, sqlx::Error> {
        let parked = if self.any_parked {
            checkpoint::parked_positions(self.schema, conn, &self.projection, &self.buffer).await?
        } else {
            HashMap::new()
        };
        let mut chunk = AppliedChunk { events: EventBuffer::default(), dropped: HashSet::new() };
        chunk.events.parsed_as(&self.buffer);
        for (index, event) in self.buffer.events().enumerate() {
            let xid = self.buffer.xid(index).unwrap_or(u64::MAX);
            match parked.get(&event.position) {
                Some(false) => continue,
                Some(true) => drop(chunk.dropped.insert(event.position)),
                None if self.pending.has(&event, xid) => continue,
                None => {}
            }
            chunk.events.push(&event);
        }
        Ok(chunk)
    }
}

impl Pending {
    /// Whether an event is not applied, asked of those of each aggregate in the order of their versions.
    fn has(&mut self, event: &Event<'_>, xid: u64) -> bool {
        let Self { applied, of_versions } = self;
        let Some(aggregates) = of_versions else { return !applied.contains(event, xid) };
        let aggregate =
            Aggregate { aggregate_type: event.aggregate_type.to_owned(), aggregate_id: event.aggregate_id.to_owned() };
        let pending = aggregates.contains(&aggregate) || !applied.contains(event, xid);
        if pending {
            aggregates.insert(aggregate);
        }
        pending
    }
}

/// Gives the projection, which is a fresh one, every event that is applied as of the transaction's snapshot, in the
/// order of the positions; applied is what the checkpoints of this name say. Ends with the first batch of which the
/// projection refuses an event.
pub(crate) async fn fold_applied<P: Projection>(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &mut P,
    name: &str,
    whole: Class,
) -> Result<Folded, FoldError> {
    let interest = interest_of(projection);
    let log = match projection.source() {
        Some(source) => Some(source.open().await.map_err(FoldError::Source)?),
        None => None,
    };
    let layout = log.as_ref().map_or_else(|| Layout::from(schema), |log| log.layout().clone());
    let mut reader = Reader::start(schema, conn, log, name, (whole, interest)).await?;
    let mut folded = Folded::default();
    let mut next = reader.next(conn, whole).await?;
    while let Some(AppliedChunk { events, dropped }) = next.take() {
        next = reader.next(conn, whole).await?;
        folded.events += (events.len() - dropped.len()) as u64;
        let mut batch = Batch::new((schema, &layout), &events, HashSet::new(), dropped).last(next.is_none());
        if let Err(error) = projection.apply(&mut *conn, &mut batch).await {
            let last = events.last_position().unwrap_or_default();
            let first = events.events().next().map_or(last, |event| event.position);
            return Err(FoldError::Apply { first, last, error });
        }
        let refused = batch.to_park();
        if !refused.is_empty() {
            folded.refused = refused
                .iter()
                .map(|parked| RefusedEvent {
                    position: parked.event.position,
                    aggregate: Aggregate::new(parked.event.aggregate_type, parked.event.aggregate_id),
                    version: parked.event.version,
                    reason: parked.reason.to_owned(),
                    erased: parked.event.is_erased(),
                })
                .collect();
            break;
        }
    }
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::IdHash;
    use crate::number::Revision;

    #[test]
    fn an_event_is_applied_by_the_checkpoint_of_its_class_alone() {
        let row = |key, total, floor: i64| {
            let mut checkpoint = Checkpoint::start();
            let snapshot: Snapshot = "10:10:".parse().unwrap_or_else(|_| Snapshot::before_all());
            checkpoint.open(Fence::of_transactions(Position::new(floor), snapshot, 10));
            checkpoint.advance_to(Position::new(floor));
            let class = Class::partition(key, total).expect("a class");
            CheckpointRow { class, checkpoint, revision: Revision::new(1), owner: None }
        };
        let applied = AppliedByClass::of(vec![row(0, 2, 5), row(1, 4, 7), row(3, 4, 9)]);
        for (hash, position, expected) in [(2, 5, true), (2, 6, false), (1, 7, true), (1, 8, false), (7, 9, true)] {
            let event = Event {
                position: Position::new(position),
                version: Version::new(1),
                aggregate_type: "t",
                aggregate_id: "a",
                event_type: "e",
                payload: "{}",
                envelope: None,
                hash: IdHash::from_sql(hash),
            };
            assert_eq!(applied.contains(&event, 3), expected, "{hash} at {position}");
            assert!(!applied.contains(&event, 11), "its transaction is in no snapshot");
        }
    }
}
