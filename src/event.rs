//! Events: what is appended, and what is read back.

mod check;
mod json;
mod new;
mod recorded;
mod time;

pub use check::InvalidEvent;
pub use json::{MAX_JSON_BYTES, MAX_JSON_DEPTH, Unreadable, unreadable};
pub use new::{ExpectedVersion, NewEvent};
#[doc(hidden)]
pub use recorded::ERASED;
pub use recorded::{Envelope, Event, RecordedEvent};
pub(crate) use recorded::{NOT_TEXT, TOO_LARGE};
pub(crate) use time::Timestamp;

/// Longest `aggregate_type` and `event_type`, in bytes.
pub const MAX_TYPE_BYTES: usize = 255;
/// Longest `aggregate_id`, in bytes.
pub const MAX_ID_BYTES: usize = 1024;

/// Which aggregate: its type and its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aggregate {
    /// The kind of thing, for example `order`.
    pub aggregate_type: String,
    /// Which one of its kind.
    pub aggregate_id: String,
}

impl Aggregate {
    /// The aggregate of this type and id.
    pub fn new(aggregate_type: impl Into<String>, aggregate_id: impl Into<String>) -> Self {
        Self { aggregate_type: aggregate_type.into(), aggregate_id: aggregate_id.into() }
    }
}

impl std::fmt::Display for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.aggregate_type, self.aggregate_id)
    }
}
