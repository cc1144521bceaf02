//! What is found out about the events of a projection: how many it has not applied, and what has become of some.

use crate::class::Class;
use crate::event::Aggregate;
use crate::number::Position;
use std::time::Duration;

/// How far a partition is behind the log, by the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Committed events that it wants and has not applied.
    pub events: u64,
    /// How long ago the oldest of them was written; zero if there are none, or only ones whose time is in the future or
    /// infinite.
    pub age: Duration,
}

/// What one checkpoint has not applied.
pub(super) struct ClassLag {
    pub(super) projection: String,
    pub(super) class: Class,
    pub(super) lag: Lag,
}

/// Events whose delivery is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// Those at these positions.
    At(Vec<Position>),
    /// All that are visible in a snapshot.
    VisibleIn {
        /// As PostgreSQL writes it.
        snapshot: String,
        /// The highest position that is visible in it.
        last: Position,
    },
}

/// What has become of some events in a projection. Of several answers it is the first in the order of this list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The projection has not been begun.
    NotBegun,
    /// Nobody can see an event at this position: it is not committed, was rolled back, or never was.
    NotVisible(Position),
    /// The checkpoints are no exact cover: of some events nothing is known.
    Uncovered,
    /// An event is parked, or it will be, as this one of its aggregate is.
    Parked {
        /// The event that could not be applied.
        position: Position,
        /// Its aggregate.
        aggregate: Aggregate,
        /// Why it could not.
        reason: String,
    },
    /// The event at this position was parked, and an operator has dropped it.
    Dropped(Position),
    /// These classes have not applied all of their events.
    Pending(Vec<Class>),
    /// All that the projection wants are applied.
    Applied,
}
