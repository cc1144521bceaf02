//! Which shards are this node's.

use std::sync::atomic::{AtomicBool, Ordering};

/// What a node holds itself to be the owner of. It may be wrong about that: then the log refuses what it appends.
pub(super) struct Ownership {
    owned: Box<[AtomicBool]>,
}

impl Ownership {
    /// All of them: the node is alone.
    pub(super) fn all(shards: u32) -> Self {
        Self { owned: (0..shards).map(|_| AtomicBool::new(true)).collect() }
    }

    pub(super) fn owns(&self, shard: u32) -> bool {
        self.owned.get(shard as usize).is_some_and(|owned| owned.load(Ordering::SeqCst))
    }

    /// Whether no other node can have taken this one for dead.
    pub(super) fn is_certain(&self) -> bool {
        true
    }
}
