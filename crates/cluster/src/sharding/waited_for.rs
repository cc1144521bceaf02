//! Whom a node waits for before it owns what is its own.

use crate::NodeId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The nodes that have not given what they were asked for, and since when.
#[derive(Debug, Default)]
pub(super) struct WaitedFor(Mutex<BTreeMap<NodeId, Instant>>);

impl WaitedFor {
    /// The node has not answered, or answers that it is not so far yet.
    pub(super) fn begins(&self, node: &NodeId) {
        self.nodes().entry(node.clone()).or_insert_with(Instant::now);
    }

    /// The node has given what it was asked for.
    pub(super) fn ends(&self, node: &NodeId) {
        self.nodes().remove(node);
    }

    /// Nobody waits for others than these.
    pub(super) fn retain(&self, waited_for: impl Fn(&NodeId) -> bool) {
        self.nodes().retain(|node, _| waited_for(node));
    }

    /// Who is waited for longest, and for how long.
    pub(super) fn longest(&self) -> Option<(NodeId, Duration)> {
        let nodes = self.nodes();
        let longest = nodes.iter().min_by_key(|(_, since)| **since);
        longest.map(|(node, since)| (node.clone(), since.elapsed()))
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<NodeId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
