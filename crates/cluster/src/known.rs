//! Whom a node knows.

use super::NodeId;
use std::collections::BTreeMap;

/// How far another node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It answers, and owns nothing yet.
    Joining,
    /// It is a member, and owns its share.
    Live,
    /// It owns nothing any more, and may have something to hand over.
    Leaving,
}

/// The other nodes that a node knows: all who have announced themselves, have not left, and have not been silent for so
/// long that they are dead. Every two nodes that are or have been members know each other. It is never changed: another
/// one takes its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    nodes: BTreeMap<NodeId, Acquaintance>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acquaintance {
    pub(super) incarnation: u64,
    pub(super) stage: Stage,
    /// Whether it divides the keys into as many shards: one that does not is known, and has no part in anything.
    pub(super) takes_part: bool,
}

impl Known {
    pub(super) fn new(nodes: impl Iterator<Item = (NodeId, Acquaintance)>) -> Self {
        Self { nodes: nodes.collect() }
    }

    /// The other nodes of the cluster, by name.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, Stage)> {
        self.nodes.iter().filter(|(_, known)| known.takes_part).map(|(node, known)| (node, known.stage))
    }

    /// Whether this node is one of them.
    #[must_use]
    pub fn contains(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|known| known.takes_part)
    }

    /// Whether just this process is known by this name.
    pub(super) fn is(&self, node: &NodeId, incarnation: u64) -> bool {
        self.nodes.get(node).is_some_and(|known| known.incarnation == incarnation)
    }
}
