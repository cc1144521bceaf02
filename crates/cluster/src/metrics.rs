//! What a node has done in its cluster, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a node has done in its cluster since it joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClusterMetrics {
    /// Requests of this node to others.
    pub requests: u64,
    /// Frames in which they were sent.
    pub batches: u64,
    /// Requests that were sent in them: of each batch that is its size.
    pub sent: u64,
    /// The most requests of one frame.
    pub largest_batch: u64,
    /// Requests that were certainly not handled.
    pub not_sent: u64,
    /// Requests that may have been handled, and were not answered.
    pub unanswered: u64,
    /// Requests of others that were answered.
    pub answered: u64,
    /// Frames of others that were refused, because there were too many.
    pub refused: u64,
    /// The live members that this node knows of.
    pub members: u64,
    /// How often they have changed.
    pub view_changes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    batches: AtomicU64,
    sent: AtomicU64,
    largest_batch: AtomicU64,
    not_sent: AtomicU64,
    unanswered: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    view_changes: AtomicU64,
}

impl Counts {
    pub(super) fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn batch(&self, size: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(size as u64, Ordering::Relaxed);
        self.largest_batch.fetch_max(size as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, certainly_not_handled: bool) {
        let count = if certainly_not_handled { &self.not_sent } else { &self.unanswered };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, how_many: usize) {
        self.answered.fetch_add(how_many as u64, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn view_changed(&self) {
        self.view_changes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn metrics(&self, members: usize) -> ClusterMetrics {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ClusterMetrics {
            requests: get(&self.requests),
            batches: get(&self.batches),
            sent: get(&self.sent),
            largest_batch: get(&self.largest_batch),
            not_sent: get(&self.not_sent),
            unanswered: get(&self.unanswered),
            answered: get(&self.answered),
            refused: get(&self.refused),
            members: members as u64,
            view_changes: get(&self.view_changes),
        }
    }
}
