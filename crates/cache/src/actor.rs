//! What is sent to the actor of a shard.

use super::CacheError;
use super::answer::{Condition, Incremented, Stored};
use super::expiry::EntryEnd;
use super::gate::Pass;
use super::key::CacheKey;
use super::packed::Kept;
use super::shard::{CacheShard, Moved};
use evenfold_groups::KeyHash;
use evenfold_groups::{Resizable, Shard};

/// So many expired entries are removed in one message of the sweeper, some 0.2 ms: changes do not wait for longer.
const SWEPT_AT_ONCE: usize = 1024;

/// What a shard is asked for. A change brings its [`Pass`], which is given back when the message is gone, however that
/// came about.
#[derive(Debug)]
pub(super) enum Message {
    Put {
        key: CacheKey,
        kept: Kept,
        ends: EntryEnd,
        condition: Condition,
        pass: Pass,
    },
    Delete {
        key: CacheKey,
        condition: Condition,
        pass: Pass,
    },
    Incr {
        key: CacheKey,
        delta: i64,
        pass: Pass,
    },
    /// Remove what has expired, without waiting for a change.
    Sweep,
    /// Report how many entries and bytes there are.
    Describe,
    #[cfg(test)]
    Panic(fn(&mut CacheShard)),
}

/// What it answers.
#[derive(Debug)]
pub(super) enum ShardReply {
    Put(Result<Stored, CacheError>),
    Deleted(Result<bool, CacheError>),
    Incremented(Result<Incremented, CacheError>),
    /// Whether no expired entry is left.
    Swept(bool),
    Described {
        entries: u64,
        bytes: u64,
    },
}

impl Shard for CacheShard {
    type Message = Message;
    type Reply = ShardReply;

    async fn handle(&mut self, message: Message) -> ShardReply {
        self.answer(message)
    }

    fn handle_now(&mut self, message: Message) -> Result<ShardReply, Message> {
        // The one takes long, and the other is to show that the actor answers.
        if matches!(message, Message::Sweep | Message::Describe) { Err(message) } else { Ok(self.answer(message)) }
    }

    async fn recover(&mut self) {
        self.rebuild();
    }
}

impl CacheShard {
    fn answer(&mut self, message: Message) -> ShardReply {
        match message {
            Message::Put { key, kept, ends, condition, pass: _pass } => {
                ShardReply::Put(self.put(key, kept, ends, condition))
            }
            Message::Delete { key, condition, pass: _pass } => ShardReply::Deleted(self.delete(&key, condition)),
            Message::Incr { key, delta, pass: _pass } => ShardReply::Incremented(self.incr(key, delta)),
            Message::Sweep => ShardReply::Swept(self.sweep(SWEPT_AT_ONCE)),
            Message::Describe => ShardReply::Described { entries: self.entries(), bytes: self.bytes() },
            #[cfg(test)]
            Message::Panic(half_way) => {
                half_way(self);
                panic!("on purpose")
            }
        }
    }
}

impl Resizable for CacheShard {
    type Item = Moved;

    fn give(&mut self, leaves: &(dyn Fn(KeyHash) -> bool + Send + Sync)) -> Vec<(KeyHash, Moved)> {
        self.give_away(leaves)
    }

    fn take(&mut self, items: Vec<(KeyHash, Moved)>) {
        self.take_moved(items.into_iter().map(|(_, moved)| moved));
    }
}
