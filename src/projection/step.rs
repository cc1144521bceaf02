//! What a step of a worker can end in.

use crate::number::Position;

/// A batch that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Events that were applied.
    pub events: u64,
    /// Events that were parked.
    pub parked: u64,
    /// The position of the last of them.
    pub position: Position,
    /// Whether that was all: everything that was committed when the window was opened is applied.
    pub caught_up: bool,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Committed a batch.
    Applied(Applied),
    /// Brought the rows of a changed number of partitions closer together, with no event to apply.
    Converged,
    /// Found nothing to apply.
    CaughtUp,
    /// Found its checkpoint moved, by another worker or an operator: nothing of the batch was kept.
    Outrun,
    /// Left the partition to another worker.
    StandingBy,
}
