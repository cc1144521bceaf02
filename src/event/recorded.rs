//! Events as they are read back: borrowed by a projection, or owned by whoever decides on the next one.

use super::Aggregate;
use super::time::Timestamp;
use crate::hash::IdHash;
use crate::number::{Position, Version};
use std::time::SystemTime;
use uuid::Uuid;

/// An event as a projection gets it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event<'a> {
    /// Its place in the log.
    pub position: Position,
    /// The kind of aggregate.
    pub aggregate_type: &'a str,
    /// The aggregate.
    pub aggregate_id: &'a str,
    /// Its place in its aggregate.
    pub version: Version,
    /// What happened.
    pub event_type: &'a str,
    /// JSON text; empty where the event is [too large](Self::is_too_large).
    pub payload: &'a str,
    /// What [`Interest::with_envelope`](crate::log::Interest::with_envelope) asks for.
    pub envelope: Option<Envelope<'a>>,
    /// The hash of the aggregate's id.
    pub hash: IdHash,
}

/// What a payload is where the event's contents were not read. No JSON text is empty.
pub(crate) const TOO_LARGE: &str = "";

/// What the payload of an event is that was erased. Readers recognise it by this text: whoever writes it writes an
/// event that is erased from the beginning.
pub const ERASED: &str = r#"{"evenfold_erased":true}"#;

/// What a payload or the metadata is where another writer's bytes are no UTF-8. It is no JSON either: whoever reads it
/// refuses it.
pub(crate) const NOT_TEXT: &str = "(bytes that are not UTF-8)";

impl Event<'_> {
    /// Whether the payload or the metadata is above [`MAX_JSON_BYTES`](super::MAX_JSON_BYTES), so that neither was
    /// read. No such event is handed to a projection: it parks its aggregate.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.payload == TOO_LARGE
    }

    /// Whether what it contained was erased (`evenfold erase`): its payload is `{"evenfold_erased":true}`, and it has
    /// no metadata. Everything else of it is as it was written.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.payload == ERASED
    }
}

/// The part of an event that most projections do without.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// The id that the writer gave the event.
    pub event_id: Uuid,
    /// JSON text.
    pub metadata: Option<&'a str>,
    pub(crate) recorded_at: Timestamp,
}

impl Envelope<'_> {
    /// When the event was written, by the database's clock; or what its writer has given instead. `infinity` and
    /// `-infinity` are 292,277 years after and before the year 2000, beyond all other times that PostgreSQL has.
    #[must_use]
    pub fn recorded_at(&self) -> SystemTime {
        self.recorded_at.time()
    }
}

/// An event of the log, with all that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedEvent {
    /// Its place in the log.
    pub position: Position,
    /// Its place in its aggregate.
    pub version: Version,
    /// Whose it is.
    pub aggregate: Aggregate,
    /// What happened.
    pub event_type: String,
    /// JSON text.
    pub payload: String,
    /// JSON text.
    pub metadata: Option<String>,
    /// The id that the writer gave the event.
    pub event_id: Uuid,
    pub(crate) recorded_at: Timestamp,
}

impl RecordedEvent {
    /// Whether what it contained was erased: see [`Event::is_erased`].
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.payload == ERASED
    }

    /// When the event was written: see [`Envelope::recorded_at`].
    #[must_use]
    pub fn recorded_at(&self) -> SystemTime {
        self.recorded_at.time()
    }
}
