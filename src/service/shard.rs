//! A shard of counters, as an actor of the node's group.

use super::command::{Call, Counted};
use super::durable::{Durable, Finished};
use super::id::CounterId;
use super::volatile::Volatile;
use crate::event::MAX_ID_BYTES;
use crate::group::{Shard, top};
use crate::hash::KeyHash;
use std::cmp::Reverse;

const _: () = assert!(super::id::MAX_COUNTER_ID <= MAX_ID_BYTES);

/// The kind of aggregate that a counter is in the log.
pub(super) const AGGREGATE_TYPE: &str = "counter";

/// What a shard is sent.
pub(super) enum Message {
    Call(Call),
    /// What became of its batch.
    Finished(Finished),
    /// For its counters of the highest values, and so many of them.
    Top(usize),
}

/// A counter by its value. The greater one has the higher value or, with the same, the name that comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked {
    pub(super) value: i64,
    pub(super) id: Reverse<CounterId>,
}

pub(super) enum CounterShard {
    Volatile(Volatile),
    Durable(Durable),
}

impl Shard for CounterShard {
    type Message = Message;
    /// Of [`Message::Top`]; a call has its own answer.
    type Reply = Vec<Ranked>;
    type Item = ();

    async fn handle(&mut self, message: Message) -> Vec<Ranked> {
        match (self, message) {
            (shard, Message::Top(limit)) => return shard.top(limit),
            (Self::Volatile(shard), Message::Call(call)) => shard.call(call),
            (Self::Durable(shard), Message::Call(call)) => shard.call(call),
            (Self::Durable(shard), Message::Finished(finished)) => shard.finished(finished),
            // It has no batches.
            (Self::Volatile(_), Message::Finished(_)) => {}
        }
        Vec::new()
    }

    async fn recover(&mut self) {
        match self {
            // Between two steps its counters are whole.
            Self::Volatile(_) => {}
            Self::Durable(shard) => shard.forget(),
        }
    }

    /// The number of a node's shards never changes.
    fn give(&mut self, _: &(dyn Fn(KeyHash) -> bool + Send + Sync)) -> Vec<(KeyHash, ())> {
        Vec::new()
    }

    fn take(&mut self, _: Vec<(KeyHash, ())>) {}
}

impl CounterShard {
    fn top(&self, limit: usize) -> Vec<Ranked> {
        let ranked = |(id, counted): (CounterId, Counted)| Ranked { value: counted.value, id: Reverse(id) };
        let all = match self {
            Self::Volatile(shard) => shard.counters().map(ranked).collect(),
            Self::Durable(shard) => {
                let known = |(id, counted)| Some((CounterId::new(id).ok()?, counted));
                shard.counters().filter_map(known).map(ranked).collect()
            }
        };
        top(limit)(Vec::new(), all)
    }
}
