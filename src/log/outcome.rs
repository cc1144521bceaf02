//! What comes of an append.

use crate::event::Aggregate;
use crate::number::{Position, Version};
use uuid::Uuid;

/// The most events of one call of [`append`](super::append).
pub const MAX_APPEND_EVENTS: usize = 10_000;

/// How often an append is tried after another writer was first. Each time that writer has committed, so the log goes
/// on, but of n writers who all want the same aggregate one wins at a time: 32 of them would need thirty tries on
/// average, and this many are not enough once in 10^13.
pub(super) const MAX_ATTEMPTS: u32 = 1_000;

/// Where an event went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its place in the log.
    pub position: Position,
    /// Its place in its aggregate.
    pub version: Version,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The aggregate does not have the expected version. Read it again and decide again.
    #[error("{aggregate} was expected to have version {expected} and has {actual}")]
    Conflict {
        /// Which aggregate.
        aggregate: Aggregate,
        /// The version that the caller expected before its event.
        expected: Version,
        /// The version that it would have had.
        actual: Version,
        /// Which of the events, from 0.
        index: usize,
    },
    /// All of the events are in the log already, under these event ids: an earlier attempt got through.
    #[error("the events are in the log already: event id {first} has position {}", .appended[0].position)]
    AlreadyAppended {
        /// The id of the first of them.
        first: Uuid,
        /// Where they are, in the order of the events. Never empty.
        appended: Vec<Appended>,
    },
    /// Some of the event ids are taken, by other events.
    #[error("event id {event_id} is taken{}", .position.map_or(" twice in this call".to_owned(), |p| format!(" by the event at position {p}")))]
    DuplicateEventId {
        /// The id.
        event_id: Uuid,
        /// The event that has it; none when two events of this call have it.
        position: Option<Position>,
        /// Which of the events, from 0.
        index: usize,
    },
    /// Other writers were first, again and again.
    #[error(
        "other writers appended to the same aggregates {MAX_ATTEMPTS} times in a row: append fewer aggregates at once"
    )]
    Contended,
    /// More than [`MAX_APPEND_EVENTS`].
    #[error("{0} events at once are too many: append at most {MAX_APPEND_EVENTS}")]
    TooMany(usize),
    /// The connection of an [`Appender`](super::Appender) was lost, or its database did not answer in time. The events
    /// are in the log, all of them, or they are not: appending them again, with the same event ids, shows
    /// ([`AlreadyAppended`](Self::AlreadyAppended)).
    #[error("whether the events were appended is not known ({0}): append them again, with the same event ids")]
    Unanswered(String),
    /// The [`Appender`](super::Appender) was closed before. Nothing was appended.
    #[error("the appender is closed")]
    Closed,
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}
