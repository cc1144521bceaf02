//! Why events that were waited for are not applied.

use crate::checkpoint::Backlog;
use crate::event::Aggregate;
use crate::number::{Position, Version};
use std::time::Duration;

/// Why events that were waited for are not applied, or are not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The connection is inside a transaction: what it has appended there nobody else can see, and a snapshot that it
    /// keeps would never show that the events are applied.
    #[error(
        "the connection is in a transaction, whose events no worker can see: commit it, and then wait for what it appended"
    )]
    InTransaction,
    /// Nobody can see an event at a position: its transaction is not committed yet, or was rolled back. It may never
    /// come.
    #[error(
        "no event at position {position} is visible: its transaction is not committed yet, was rolled back, or never was; \
         wait after the commit"
    )]
    NotVisible {
        /// The lowest such position.
        position: Position,
    },
    /// The aggregate has no event of that version, or none at all, that anybody can see.
    #[error("{aggregate} has {} that is visible: wait after the commit, or correct its type, id or version", .version.map_or("no event".to_owned(), |v| format!("no version {v}")))]
    NoSuchVersion {
        /// Which aggregate.
        aggregate: Aggregate,
        /// The version that was waited for.
        version: Option<Version>,
    },
    /// An event is parked, or will be because an earlier one of its aggregate is: an operator has to look after it.
    #[error(
        "the projection {projection} has parked {aggregate} at position {position} ({reason}): its events are applied after \
         `evenfold parked retry`, once what was wrong is mended, or `evenfold parked drop`"
    )]
    Parked {
        /// The projection.
        projection: String,
        /// The event that could not be applied.
        position: Position,
        /// Its aggregate.
        aggregate: Aggregate,
        /// Why it could not.
        reason: String,
    },
    /// An operator has dropped the event: the read model will not contain it.
    #[error(
        "the projection {projection} does not contain the event at position {position}: it was parked, and dropped"
    )]
    Dropped {
        /// The projection.
        projection: String,
        /// The event.
        position: Position,
    },
    /// The checkpoints do not stand for every event exactly once.
    #[error(
        "the checkpoints of the projection {projection} are no exact cover: some events belong to none or to two, and \
         whether they are applied can't be known; `evenfold rebuild --projection {projection}` restores them"
    )]
    Uncovered {
        /// The projection.
        projection: String,
    },
    /// The projection was not begun until the deadline.
    #[error("the projection {projection} has not been begun: start a worker, or correct its name")]
    NotBegun {
        /// The projection.
        projection: String,
    },
    /// The deadline has come.
    #[error("the projection {projection} has not applied the events after {waited:.1?}: {backlog}")]
    TimedOut {
        /// The projection.
        projection: String,
        /// How long was waited.
        waited: Duration,
        /// How far it is, and who is at work on it.
        backlog: Backlog,
    },
    /// The database did not answer until five seconds after the deadline.
    #[error("whether the events are applied is not known: the database did not answer within {waited:.1?}")]
    Unanswered {
        /// How long was waited.
        waited: Duration,
    },
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}
