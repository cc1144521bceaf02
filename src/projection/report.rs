//! What a worker did.

use crate::number::Position;
use std::time::Duration;

/// What a worker did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Events that the database has sent.
    pub received: u64,
    /// Events applied.
    pub applied: u64,
    /// Events parked.
    pub parked: u64,
    /// Batches committed.
    pub batches: u64,
    /// The position of the last event.
    pub position: Position,
    /// How long it ran.
    pub elapsed: Duration,
    /// Of that, the time spent on fences, checkpoints, commits and waiting for the database.
    pub coordination: Duration,
    /// Of that, the time spent on decoding and folding.
    pub compute: Duration,
}

impl Report {
    /// What was done in two runs, one after the other.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        Self {
            received: self.received + next.received,
            applied: self.applied + next.applied,
            parked: self.parked + next.parked,
            batches: self.batches + next.batches,
            position: next.position,
            elapsed: self.elapsed + next.elapsed,
            coordination: self.coordination + next.coordination,
            compute: self.compute + next.compute,
        }
    }
}
