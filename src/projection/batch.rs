//! A batch of events, as a projection gets it.

use crate::checkpoint::{BEHIND, ParkedEvent};
use crate::database::Schema;
use crate::event::{Aggregate, Event, MAX_JSON_BYTES};
use crate::hash::IdHash;
use crate::log::EventBuffer;
use crate::number::Position;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::time::{Duration, Instant};

/// The events that a projection is given to apply, less those of parked aggregates.
#[derive(Debug)]
pub struct Batch<'a> {
    schema: &'a Schema,
    events: &'a EventBuffer,
    parked: ParkedNames,
    /// Events that the projection refused: index and reason. Earlier events of their aggregates have been applied.
    refused: HashMap<usize, String>,
    /// Events that a writer gave a wrong hash, or that are too large to be read. No event of their aggregates is handed
    /// out.
    misplaced: HashMap<usize, String>,
    /// Positions of events that an operator has dropped.
    dropped: HashSet<Position>,
    last: bool,
    folding: Duration,
}

/// Aggregates, to be asked with borrowed names.
#[derive(Debug, Default)]
struct ParkedNames(HashMap<String, HashSet<String>>);

impl ParkedNames {
    fn contains(&self, event: &Event<'_>) -> bool {
        !self.0.is_empty() && self.0.get(event.aggregate_id).is_some_and(|types| types.contains(event.aggregate_type))
    }

    fn insert(&mut self, aggregate_type: &str, aggregate_id: &str) {
        self.0.entry(aggregate_id.to_owned()).or_default().insert(aggregate_type.to_owned());
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        schema: &'a Schema,
        events: &'a EventBuffer,
        parked: HashSet<Aggregate>,
        dropped: HashSet<Position>,
    ) -> Self {
        let mut batch = Self {
            schema,
            events,
            parked: ParkedNames::default(),
            refused: HashMap::new(),
            misplaced: HashMap::new(),
            dropped,
            last: true,
            folding: Duration::ZERO,
        };
        for aggregate in parked {
            batch.parked.insert(&aggregate.aggregate_type, &aggregate.aggregate_id);
        }
        // The column can be written by others. With a wrong hash, two workers would share an aggregate.
        for (index, event) in events.events().enumerate() {
            let right = IdHash::of(event.aggregate_id);
            let reason = if event.hash != right {
                format!("its hash is {} and that of its aggregate id is {right}", event.hash)
            } else if event.is_too_large() {
                format!("its payload or its metadata is larger than {MAX_JSON_BYTES} bytes")
            } else {
                continue;
            };
            if !batch.is_dropped(&event) {
                batch.parked.insert(event.aggregate_type, event.aggregate_id);
                batch.misplaced.insert(index, reason);
            }
        }
        batch
    }

    /// The same batch, with others to follow in its transaction if it is not the last.
    pub(crate) fn last(self, last: bool) -> Self {
        Self { last, ..self }
    }

    /// Whether the transaction ends after this batch. Until then a projection may keep back what it would write, and
    /// write what it would write again only once: while a worker is far behind, a transaction has several batches, of
    /// which the last may be empty.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The schema that the log and the checkpoints are in.
    #[must_use]
    pub fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// The events to apply, in order.
    pub fn events(&self) -> impl Iterator<Item = Event<'a>> {
        self.events.events().filter(|event| !self.parked.contains(event) && !self.is_dropped(event))
    }

    /// The same with the events that an operator has dropped, which [`fold_with_dropped`](Self::fold_with_dropped)
    /// hands out as well.
    pub fn with_dropped(&self) -> impl Iterator<Item = Event<'a>> {
        self.events.events().filter(|event| !self.parked.contains(event)).map(|event| self.righted(event))
    }

    /// A dropped event may have been parked for its wrong hash; whoever keeps states by hash must find the aggregate's.
    fn righted(&self, event: Event<'a>) -> Event<'a> {
        if self.is_dropped(&event) { Event { hash: IdHash::of(event.aggregate_id), ..event } } else { event }
    }

    fn is_dropped(&self, event: &Event<'_>) -> bool {
        !self.dropped.is_empty() && self.dropped.contains(&event.position)
    }

    /// The most events that [`events`](Self::events) can give.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.events.len()
    }

    /// Hands each event to `apply`, in order. Where it refuses one, because the event can never be applied, the event's
    /// aggregate is parked with that reason: later events of it are not handed out any more.
    pub fn fold<R: Display>(&mut self, mut apply: impl FnMut(&Event<'a>) -> Result<(), R>) {
        self.fold_with_dropped(|event, dropped| if dropped { Ok(()) } else { apply(event) });
    }

    /// The same, with the events that an operator has dropped, which are marked: a projection that looks at
    /// versions moves on past them.
    pub fn fold_with_dropped<R: Display>(&mut self, mut apply: impl FnMut(&Event<'a>, bool) -> Result<(), R>) {
        let started = Instant::now();
        for (index, event) in self.events.events().enumerate() {
            if self.parked.contains(&event) {
                continue;
            }
            if let Err(reason) = apply(&self.righted(event), self.is_dropped(&event)) {
                self.parked.insert(event.aggregate_type, event.aggregate_id);
                self.refused.insert(index, reason.to_string());
            }
        }
        self.folding += started.elapsed();
    }

    /// Time spent in [`fold`](Self::fold).
    pub(crate) fn folding(&self) -> Duration {
        self.folding
    }

    /// What is to be parked: the refused events, and all others of their aggregates that come after them.
    pub(crate) fn to_park(&self) -> Vec<ParkedEvent<'_>> {
        if self.parked.0.is_empty() {
            return Vec::new();
        }
        // An aggregate that was parked within this batch had events before, and those were applied.
        let mut open: HashSet<(&str, &str)> = self
            .refused
            .keys()
            .map(|&index| self.events.event(index))
            .map(|e| (e.aggregate_type, e.aggregate_id))
            .collect();
        let mut parked = Vec::new();
        for (index, event) in self.events.events().enumerate().filter(|(_, event)| !self.is_dropped(event)) {
            let key = (event.aggregate_type, event.aggregate_id);
            if let Some(reason) = self.refused.get(&index) {
                open.remove(&key);
                parked.push(ParkedEvent { event, reason });
            } else if self.parked.contains(&event) && !open.contains(&key) {
                let reason = self.misplaced.get(&index).map_or(BEHIND, String::as_str);
                parked.push(ParkedEvent { event, reason });
            }
        }
        parked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Version;

    fn event(number: i64, aggregate_id: &str) -> Event<'_> {
        Event {
            position: Position::new(number),
            version: Version::new(number),
            aggregate_type: "t",
            aggregate_id,
            event_type: "e",
            payload: "{}",
            envelope: None,
            hash: IdHash::of(aggregate_id),
        }
    }

    fn buffer(ids: &[&str]) -> EventBuffer {
        let mut buffer = EventBuffer::default();
        (1..).zip(ids).for_each(|(position, id)| buffer.push(&event(position, id)));
        buffer
    }

    fn parked<'a>(batch: &'a Batch<'_>) -> Vec<(i64, &'a str)> {
        batch.to_park().iter().map(|p| (p.event.position.get(), p.reason)).collect()
    }

    #[test]
    fn a_refused_event_parks_the_later_ones_of_its_aggregate_and_no_others() {
        let buffer = buffer(&["a", "b", "a", "b", "a", "c"]);
        let schema = Schema::default();
        let mut batch = Batch::new(&schema, &buffer, HashSet::new(), HashSet::new());
        let mut applied = Vec::new();
        batch.fold(|event| {
            if event.position == 3 {
                return Err("no");
            }
            applied.push(event.position);
            Ok(())
        });
        assert_eq!(applied, [1, 2, 4, 6]);
        assert_eq!(parked(&batch), [(3, "no"), (5, BEHIND)]);
    }

    #[test]
    fn an_event_with_a_wrong_hash_is_parked_with_every_event_of_its_aggregate() {
        let mut buffer = buffer(&["a", "b"]);
        buffer.push(&Event { hash: IdHash::of("else"), ..event(3, "a") });
        let schema = Schema::default();
        let mut batch = Batch::new(&schema, &buffer, HashSet::new(), HashSet::new());
        let mut applied = Vec::new();
        batch.fold(|event| {
            applied.push(event.position);
            Ok::<(), &str>(())
        });
        assert_eq!(applied, [2]);
        let parked = batch.to_park();
        assert_eq!(parked.iter().map(|p| p.event.position).collect::<Vec<_>>(), [1, 3]);
        assert!(parked[1].reason.contains("its hash is"), "{}", parked[1].reason);
    }

    #[test]
    fn events_of_an_aggregate_that_was_parked_before_are_parked_and_not_handed_out() {
        let buffer = buffer(&["a", "b", "a"]);
        let before = HashSet::from([Aggregate { aggregate_type: "t".into(), aggregate_id: "a".into() }]);
        let schema = Schema::default();
        let mut batch = Batch::new(&schema, &buffer, before, HashSet::new());
        assert_eq!(batch.events().map(|e| e.position).collect::<Vec<_>>(), [2]);
        batch.fold(|_| Ok::<(), &str>(()));
        assert_eq!(parked(&batch), [(1, BEHIND), (3, BEHIND)]);
    }
}
