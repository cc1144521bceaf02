//! What a change of the number of shards has an actor do, as its mailbox knows it: whether shards can be resized, and
//! what moves between them, is no matter of messages.

use super::shard::Shard;

/// What one change has an actor do with its shard before the next message.
pub(super) trait ShardChange<S: Shard>: Send + Sync {
    /// Takes out of the state what leaves the shard of this number. If that panics, the shard recovers, and it is tried
    /// again.
    fn give(&self, shard: u32, state: &mut S);

    /// One more shard has given, and will not be asked again: those who take may get on.
    fn has_given(&self);

    /// Puts into the state what all others have given to the shard of this number.
    fn take(&self, shard: u32, state: &mut S);
}
