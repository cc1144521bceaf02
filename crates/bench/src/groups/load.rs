//! What is sent to groups of actors.

use evenfold_groups::KeyHash;
use std::num::NonZeroU32;

/// Keys in use: as many as a small cache has.
const KEYS: u64 = 1000;

/// What is sent: the same for all.
pub(super) struct Load {
    pub(super) keys: Vec<String>,
    pub(super) shards: NonZeroU32,
    pub(super) each: u64,
    pub(super) senders: u64,
}

impl Load {
    /// So many messages, by so many senders.
    pub(super) fn new(messages: u64, shards: NonZeroU32, senders: u64) -> Self {
        let keys = (0..KEYS).map(|key| format!("counter-{key:08}")).collect();
        Self { keys, shards, each: messages / senders, senders }
    }

    /// The shard of a key, by the group's own hash: all route as the group does.
    pub(super) fn shard(&self, key: &str) -> usize {
        KeyHash::from(key).shard(self.shards) as usize
    }
}
