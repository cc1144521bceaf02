//! Events as they are read back.

use crate::hash::IdHash;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// An event as it was read from the log.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The log's sequence number: unique, may have gaps, may commit out of order.
    pub position: i64,
    /// The kind of aggregate.
    pub aggregate_type: &'a str,
    /// The aggregate.
    pub aggregate_id: &'a str,
    /// 1, 2, 3 … within the aggregate.
    pub version: i64,
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

impl Event<'_> {
    /// Whether the payload or the metadata is above [`MAX_JSON_BYTES`](super::MAX_JSON_BYTES), so that neither was read. No such event is handed to
    /// a projection: it parks its aggregate.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.payload == TOO_LARGE
    }
}

/// The part of an event that most projections do without.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The id that the writer gave the event.
    pub event_id: Uuid,
    /// JSON text.
    pub metadata: Option<&'a str>,
    /// As PostgreSQL has it: microseconds from the beginning of 2000; the least and the greatest number are the infinities.
    pub(crate) recorded_at: i64,
}

/// From the beginning of 1970 to that of 2000.
const EPOCHS_APART: Duration = Duration::from_hours(10_957 * 24);

impl Envelope<'_> {
    /// When the event was written, by the database's clock; or what another writer has given instead. `infinity` and
    /// `-infinity` are 292,277 years after and before the year 2000, beyond all other times that PostgreSQL has.
    #[must_use]
    pub fn recorded_at(&self) -> SystemTime {
        let distance = Duration::from_micros(self.recorded_at.unsigned_abs());
        let year_2000 = SystemTime::UNIX_EPOCH + EPOCHS_APART;
        if self.recorded_at < 0 { year_2000 - distance } else { year_2000 + distance }
    }
}
