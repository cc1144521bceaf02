//! Who is there, and who owns what.

use super::{NodeId, placement};
use std::num::NonZeroU32;

/// The members that a node knows of, and which of them owns each shard. It is never changed: another one takes its
/// place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    members: Vec<NodeId>,
    owners: Vec<usize>,
}

impl View {
    /// The view of these members, by name, who are at least one.
    pub(super) fn of(members: Vec<NodeId>, shards: NonZeroU32) -> Self {
        let owners = placement::owners(&members, shards);
        Self { members, owners }
    }

    /// All live members, by name; at least one.
    #[must_use]
    pub fn members(&self) -> &[NodeId] {
        &self.members
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.owners.len()
    }

    /// The node that owns this shard, by rendezvous hashing: all who know the same members agree.
    ///
    /// # Panics
    ///
    /// If there is no such shard.
    #[must_use]
    pub fn owner(&self, shard: u32) -> &NodeId {
        &self.members[self.owners[shard as usize]]
    }

    /// The shards that this node owns.
    pub fn owned_by<'a>(&'a self, node: &NodeId) -> impl Iterator<Item = u32> + use<'a> {
        let place = self.members.binary_search(node).ok();
        (0_u32..).zip(&self.owners).filter(move |(_, owner)| Some(**owner) == place).map(|(shard, _)| shard)
    }
}
