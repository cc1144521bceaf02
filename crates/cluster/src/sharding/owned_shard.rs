//! One shard of a node, for whoever is about to change what is in it.

use super::ownership::Ownership;

impl Ownership {
    /// One of the shards.
    #[must_use]
    pub fn owned_shard(&self, shard: u32) -> OwnedShard<'_> {
        OwnedShard { ownership: self, shard }
    }
}

/// A shard, as its node owns it.
#[derive(Clone, Copy)]
pub struct OwnedShard<'a> {
    ownership: &'a Ownership,
    shard: u32,
}

impl OwnedShard<'_> {
    /// Whether this node owns it, as far as it knows.
    #[must_use]
    pub fn is_own(self) -> bool {
        self.ownership.owns(self.shard)
    }

    /// Whether what is changed now is known to whoever owns the shard after this node: it is handed over, or read from
    /// the log, later than that. False also for a shard that this node owns, where others may have taken the node for
    /// dead.
    #[must_use]
    pub fn may_change(self) -> bool {
        self.is_own() && self.ownership.is_certain()
    }
}
