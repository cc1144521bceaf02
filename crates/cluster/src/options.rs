//! The options of a node, their limits and defaults.

use super::JoinError;
use super::frame::MAX_QUESTIONS;
use std::num::NonZeroU32;
use std::time::Duration;

/// How a node takes part. All nodes of a cluster need the same number of shards, and should have the same times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// Into how many shards the keys are divided, whatever the number of nodes: some dozens per node, so that they are
    /// spread evenly.
    pub shards: NonZeroU32,
    /// How often a node shows that it lives.
    pub heartbeat: Duration,
    /// How long a node may be silent before the others take its shards: at least 3 heartbeats.
    pub dead_after: Duration,
    /// How many requests may wait for being sent to one node; further ones are refused. At least 1.
    pub queue: usize,
    /// How many requests travel together, and their bytes are bounded by the transport's frame. 1 to 1,024.
    pub batch: usize,
    /// How many frames to one node may be without an answer. At least 1.
    pub in_flight: usize,
    /// How many frames of other nodes are answered at the same time; further ones are refused. At least 1.
    pub answering: usize,
}

impl ClusterOptions {
    /// The same with this [`shards`](Self::shards).
    #[must_use]
    pub fn shards(self, shards: NonZeroU32) -> Self {
        Self { shards, ..self }
    }

    /// The same with this [`heartbeat`](Self::heartbeat).
    #[must_use]
    pub fn heartbeat(self, heartbeat: Duration) -> Self {
        Self { heartbeat, ..self }
    }

    /// The same with this [`dead_after`](Self::dead_after).
    #[must_use]
    pub fn dead_after(self, dead_after: Duration) -> Self {
        Self { dead_after, ..self }
    }

    /// The same with this [`queue`](Self::queue).
    #[must_use]
    pub fn queue(self, queue: usize) -> Self {
        Self { queue, ..self }
    }

    /// The same with this [`batch`](Self::batch).
    #[must_use]
    pub fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// The same with this [`in_flight`](Self::in_flight).
    #[must_use]
    pub fn in_flight(self, in_flight: usize) -> Self {
        Self { in_flight, ..self }
    }

    /// The same with this [`answering`](Self::answering).
    #[must_use]
    pub fn answering(self, answering: usize) -> Self {
        Self { answering, ..self }
    }
}

impl Default for ClusterOptions {
    /// 64 shards; a heartbeat each 500 ms, and a node is dead after 2 s of silence; 10,000 requests wait, 256 travel
    /// together, in 8 frames at a time; 256 frames are answered at a time.
    fn default() -> Self {
        Self {
            shards: NonZeroU32::MIN.saturating_add(63),
            heartbeat: Duration::from_millis(500),
            dead_after: Duration::from_secs(2),
            queue: 10_000,
            batch: 256,
            in_flight: 8,
            answering: 256,
        }
    }
}

impl ClusterOptions {
    pub(super) fn check(self) -> Result<Self, JoinError> {
        let Self { heartbeat, dead_after, .. } = self;
        if heartbeat.is_zero() || heartbeat.checked_mul(3).is_none_or(|three| three > dead_after) {
            return Err(JoinError::Times { heartbeat, dead_after });
        }
        let queue = self.queue.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        let batch = self.batch.clamp(1, MAX_QUESTIONS);
        let [in_flight, answering] = [self.in_flight, self.answering].map(|limit| limit.max(1));
        Ok(Self { queue, batch, in_flight, answering, ..self })
    }

    /// How long after a heartbeat was sent nobody takes this node for dead, if it was acknowledged: one interval less
    /// than it takes, for whoever has not received that one.
    pub(super) fn certain_for(&self) -> Duration {
        self.dead_after.saturating_sub(self.heartbeat)
    }
}
