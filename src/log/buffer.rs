//! Events that were read, in as few allocations as possible.

use super::Interest;
use super::columns::{ParsedTexts, RowColumns};
use crate::event::{Envelope, Event, Timestamp};
use crate::hash::IdHash;
use crate::number::{Position, Version};
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use uuid::Uuid;

/// The texts of one batch may have this many bytes together; a batch ends early where they would be more.
const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// Events that were read, in one allocation that is used again for the next batch.
///
/// Holds at most one event more than fit into 16 MiB, and as many as it was asked to.
#[derive(Debug, Default)]
pub struct EventBuffer {
    text: String,
    records: Vec<Record>,
    /// As many as records, or none where nobody wants them; the same for the transactions.
    envelopes: Vec<EnvelopeRecord>,
    xids: Vec<u64>,
    /// Up to which position it has what was asked for, where that is not the highest of its events.
    reached: Option<Position>,
    /// How the rows are sent that it is filled from.
    columns: Option<RowColumns>,
    parsed: ParsedTexts,
}

/// Small, because a worker that catches up holds some tens of thousands.
#[derive(Debug)]
struct Record {
    position: Position,
    version: Version,
    hash: IdHash,
    start: u32,
    /// Where the aggregate type, the aggregate id, the event type and the payload end.
    ends: [u32; 4],
}

#[derive(Debug)]
struct EnvelopeRecord {
    event_id: Uuid,
    recorded_at: Timestamp,
    metadata_end: Option<u32>,
}

impl EventBuffer {
    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The events, in the order of their positions; but for a log in which positions are in no order, each aggregate's
    /// in the order of their versions.
    #[must_use]
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        (0..self.records.len()).map(|index| self.event(index))
    }

    /// The event at this index, which must be below [`len`](Self::len).
    pub(crate) fn event(&self, index: usize) -> Event<'_> {
        let record = &self.records[index];
        let [type_end, id_end, event_type_end, payload_end] = record.ends;
        Event {
            position: record.position,
            version: record.version,
            hash: record.hash,
            aggregate_type: self.part(record.start, type_end),
            aggregate_id: self.part(type_end, id_end),
            event_type: self.part(id_end, event_type_end),
            payload: self.part(event_type_end, payload_end),
            envelope: self.envelopes.get(index).map(|envelope| Envelope {
                event_id: envelope.event_id,
                recorded_at: envelope.recorded_at,
                metadata: envelope.metadata_end.map(|end| self.part(payload_end, end)),
            }),
        }
    }

    /// Which transaction wrote the event at this index, if that was asked for.
    pub(crate) fn xid(&self, index: usize) -> Option<u64> {
        self.xids.get(index).copied()
    }

    /// Adds the event of a row with the columns of `range.sql`, read with this interest.
    pub(super) fn push_row(&mut self, row: &PgRow, interest: &Interest) -> Result<(), sqlx::Error> {
        let columns = *self.columns.get_or_insert_with(|| RowColumns::of(row, interest.envelope));
        self.parsed = columns.parsed();
        self.push(&columns.event(row)?);
        if interest.xid {
            self.xids.push(columns.xid(row)?);
        }
        Ok(())
    }

    /// Which of its texts PostgreSQL has parsed.
    pub(crate) fn parsed(&self) -> ParsedTexts {
        self.parsed
    }

    /// Says that its events, to be added, are some of another buffer.
    pub(crate) fn parsed_as(&mut self, other: &Self) {
        self.parsed = other.parsed;
    }

    fn part(&self, from: u32, to: u32) -> &str {
        &self.text[from as usize..to as usize]
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.records.clear();
        self.envelopes.clear();
        self.xids.clear();
        self.reached = None;
        (self.columns, self.parsed) = (None, ParsedTexts::default());
    }

    /// Adds an event: with its envelope if the others have theirs.
    pub(crate) fn push(&mut self, event: &Event<'_>) {
        let start = self.end();
        let ends = [event.aggregate_type, event.aggregate_id, event.event_type, event.payload].map(|part| {
            self.text.push_str(part);
            self.end()
        });
        if let Some(envelope) = event.envelope {
            let metadata_end = envelope.metadata.map(|metadata| {
                self.text.push_str(metadata);
                self.end()
            });
            let Envelope { event_id, recorded_at, .. } = envelope;
            self.envelopes.push(EnvelopeRecord { event_id, recorded_at, metadata_end });
        }
        let Event { position, version, hash, .. } = *event;
        self.records.push(Record { position, version, hash, start, ends });
    }

    /// Where the text ends. It is full long before 32 bits are too few: a text that PostgreSQL sends has at most 1 GiB.
    #[expect(clippy::cast_possible_truncation, reason = "16 MiB and one event")]
    fn end(&self) -> u32 {
        self.text.len() as u32
    }

    pub(crate) fn is_full(&self) -> bool {
        self.text.len() >= MAX_TEXT_BYTES
    }

    /// Notes that it has all that was asked for up to this position, if there is any.
    pub(crate) fn reaches(&mut self, position: Option<Position>) {
        self.reached = position;
    }

    /// The position up to which it has what was asked for.
    pub(crate) fn last_position(&self) -> Option<Position> {
        // Its last event need not have the highest one.
        self.reached.or_else(|| self.records.iter().map(|record| record.position).max())
    }

    /// Leaves out the events at positions for which this is false.
    pub(crate) fn retain(&mut self, wanted: impl Fn(Position) -> bool) {
        let kept: Vec<usize> = (0..self.len()).filter(|&index| wanted(self.records[index].position)).collect();
        self.take_in(&kept);
    }

    /// Leaves out the events above a position, and puts those of each aggregate in the order of their versions: an
    /// event comes right after the highest position of its aggregate's earlier ones, where that is above its own.
    pub(crate) fn order_by_version(&mut self, upto: Option<Position>) {
        let mut order: Vec<usize> =
            (0..self.len()).filter(|&index| upto.is_none_or(|upto| self.records[index].position <= upto)).collect();
        order.sort_by_key(|&index| self.records[index].version);
        let mut highest: HashMap<(&str, &str), Position> = HashMap::new();
        let mut keys = vec![Position::START; self.len()];
        for &index in &order {
            let event = self.event(index);
            let key = highest.entry((event.aggregate_type, event.aggregate_id)).or_default();
            *key = event.position.max(*key);
            keys[index] = *key;
        }
        // Those with one key are of one aggregate, and stay in the order of their versions.
        order.sort_by_key(|&index| keys[index]);
        self.take_in(&order);
    }

    /// Keeps the events at these indices, in this order.
    fn take_in(&mut self, order: &[usize]) {
        fn taken<T>(all: &mut Vec<T>, order: &[usize]) {
            let mut from: Vec<Option<T>> = all.drain(..).map(Some).collect();
            if !from.is_empty() {
                all.extend(order.iter().filter_map(|&index| from[index].take()));
            }
        }
        taken(&mut self.records, order);
        taken(&mut self.envelopes, order);
        taken(&mut self.xids, order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(events: &[(&str, i64, i64)]) -> EventBuffer {
        let mut buffer = EventBuffer::default();
        for &(aggregate_id, version, position) in events {
            buffer.push(&Event {
                position: Position::new(position),
                version: Version::new(version),
                hash: IdHash::of(aggregate_id),
                aggregate_type: "order",
                aggregate_id,
                event_type: "placed",
                payload: "{}",
                envelope: None,
            });
            buffer.xids.push(position.unsigned_abs());
        }
        buffer
    }

    fn positions(buffer: &EventBuffer) -> Vec<i64> {
        let all: Vec<i64> = buffer.events().map(|event| event.position.get()).collect();
        let xids: Vec<i64> = (0..buffer.len()).filter_map(|at| buffer.xid(at)).map(u64::cast_signed).collect();
        assert_eq!(all, xids, "what belongs to an event goes with it");
        all
    }

    #[test]
    fn an_event_with_a_lower_position_than_its_earlier_version_comes_right_after_that() {
        let mut found = buffer(&[("a", 1, 1), ("b", 2, 2), ("a", 4, 3), ("a", 3, 4), ("b", 1, 5), ("a", 5, 6)]);
        found.order_by_version(None);
        assert_eq!(positions(&found), [1, 4, 3, 5, 2, 6]);
        assert_eq!(found.last_position(), Some(Position::new(6)));
        found.order_by_version(Some(Position::new(5)));
        assert_eq!(positions(&found), [1, 4, 3, 5, 2]);
        assert_eq!(found.last_position(), Some(Position::new(5)), "the highest, not the last");
    }
}
