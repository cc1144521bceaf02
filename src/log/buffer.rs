//! Events that were read, in as few allocations as possible.

use crate::event::{Envelope, Event, Timestamp};
use crate::hash::IdHash;
use crate::number::{Position, Version};
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

    /// The events, in the order of their positions.
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

    pub(crate) fn push_xid(&mut self, xid: u64) {
        self.xids.push(xid);
    }

    fn part(&self, from: u32, to: u32) -> &str {
        &self.text[from as usize..to as usize]
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.records.clear();
        self.envelopes.clear();
        self.xids.clear();
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

    pub(crate) fn last_position(&self) -> Option<Position> {
        self.records.last().map(|record| record.position)
    }
}
