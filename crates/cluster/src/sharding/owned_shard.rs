//! One shard of a node, for what goes to a log on its behalf.

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

    /// Whether what is appended to a log now is known to whoever owns the shard after this node: it reads the log later
    /// than that. False also for a shard that this node owns, where others may have taken the node for dead.
    #[must_use]
    pub fn may_append(self) -> bool {
        self.is_own() && self.ownership.is_certain()
    }
}
