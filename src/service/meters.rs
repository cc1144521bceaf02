//! What a node counts about itself.

use crate::group::GroupMetrics;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that only grow.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// Commands that were answered by shards of this node.
    pub(super) handled: Meter,
}

#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU64);

impl Meter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a node has done until now.
#[derive(Debug, Clone)]
pub struct NodeMetrics {
    /// The group of its shards: mailboxes, and time spent.
    pub actors: GroupMetrics,
    /// How many counters are in memory, by shard.
    pub counters: Vec<u64>,
    /// Requests that were answered by shards of this node.
    pub handled: u64,
}
