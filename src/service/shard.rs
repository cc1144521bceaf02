//! A shard of counters, as an actor of the node's group.

use super::command::{Call, Counted};
use super::id::CounterId;
use super::meters::Meters;
use super::volatile::Volatile;
use crate::event::MAX_ID_BYTES;
use crate::group::process::Group;
use crate::group::{Shard, top};
use crate::hash::KeyHash;
use crate::projection::counters::{Changes, CounterRow};
use std::cmp::Reverse;
use std::sync::Arc;

const _: () = assert!(super::id::MAX_COUNTER_ID <= MAX_ID_BYTES);

/// The kind of aggregate that a counter is in the log.
pub(super) const AGGREGATE_TYPE: &str = "counter";

/// What a shard is sent.
pub(super) enum Message {
    Call(Call),
    /// For its counters of the highest values, and so many of them.
    Top(usize),
}

/// A counter by its value. The greater one has the higher value or, with the same, the name that comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked {
    pub(super) value: i64,
    pub(super) id: Reverse<CounterId>,
}

pub(super) struct CounterShard {
    pub(super) volatile: Volatile,
    pub(super) changes: Group<Arc<Changes>>,
    pub(super) meters: Arc<Meters>,
}

impl Shard for CounterShard {
    type Message = Message;
    /// Of a call none: it has its own answer.
    type Reply = Vec<Ranked>;
    type Item = ();

    async fn handle(&mut self, message: Message) -> Vec<Ranked> {
        match message {
            Message::Call(call) => {
                let outcome = self.volatile.handle(&call.command);
                if let Ok(counted) = outcome
                    && call.command.changes()
                    && !self.changes.is_empty()
                {
                    // It may have been deleted just now: then there is nobody to be told.
                    let _ = self.changes.offer(Arc::new(Changes::Listed(vec![row(&call.command.id, counted)])));
                }
                self.meters.handled.add(1);
                call.answer(outcome);
                Vec::new()
            }
            Message::Top(limit) => {
                let ranked =
                    |(id, counted): (&CounterId, &Counted)| Ranked { value: counted.value, id: Reverse(id.clone()) };
                top(limit)(Vec::new(), self.volatile.iter().map(ranked).collect())
            }
        }
    }

    /// Between two messages the counters are whole.
    async fn recover(&mut self) {}

    /// The number of a node's shards never changes.
    fn give(&mut self, _: &(dyn Fn(KeyHash) -> bool + Send + Sync)) -> Vec<(KeyHash, ())> {
        Vec::new()
    }

    fn take(&mut self, _: Vec<(KeyHash, ())>) {}
}

fn row(id: &CounterId, counted: Counted) -> CounterRow {
    CounterRow {
        aggregate_type: AGGREGATE_TYPE.to_owned(),
        aggregate_id: id.as_str().to_owned(),
        events: counted.version,
        value: counted.value,
        version: counted.version,
        last_position: 0,
    }
}
