//! A shard of counters, as an actor of the node's group.

use super::command::{Call, Command, Counted, Outcome};
use super::durable::{Durable, Finished};
use super::id::CounterId;
use super::peer::{Part, Released};
use super::top::Top;
use super::volatile::Volatile;
use evenfold::counters::{Changes, CounterRow};
use evenfold::event::MAX_ID_BYTES;
use evenfold_groups::process::Group;
use evenfold_groups::{Shard, top};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

const _: () = assert!(super::id::MAX_COUNTER_ID <= MAX_ID_BYTES);

/// The kind of aggregate that a counter is in the log.
pub(super) const AGGREGATE_TYPE: &str = "counter";

/// What a shard is sent.
pub(super) enum Message {
    Call(Command, oneshot::Sender<Outcome>),
    /// What became of its batch.
    Finished(Finished),
    Top(Top),
    /// It is another node's now: for a part of what is to be handed over, when nothing is on its way to the log any more.
    Release(Part, oneshot::Sender<Released>),
    /// Another node has handed this over.
    Take(Vec<(CounterId, Counted)>),
    /// It is to be this node's now, which has taken over all that others had of it.
    Begin,
    /// The log may have less than was read from it.
    Forget,
}

/// A counter by its value. The greater one has the higher value or, with the same, the name that comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Ranked {
    pub(super) value: i64,
    pub(super) id: Reverse<CounterId>,
}

/// Tells those who watch what has been counted. Workers tell it too, once they have folded it, but they may be in other
/// processes; what was told before is not newer.
pub(super) fn tell<'a>(changes: &Group<Arc<Changes>>, answers: impl Iterator<Item = (&'a Call, &'a Outcome)>) {
    if changes.is_empty() {
        return;
    }
    let counted = answers.filter_map(|(call, outcome)| Some((&call.command, outcome.as_ref().ok()?)));
    let rows: Vec<_> =
        counted.filter(|(command, _)| command.changes()).map(|(command, at)| row(&command.id, *at)).collect();
    if !rows.is_empty() {
        // It may have been deleted just now: then there is nobody to be told.
        let _ = changes.offer(Arc::new(Changes::Listed(rows)));
    }
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

pub(super) enum CounterShard {
    Volatile(Volatile),
    Durable(Durable),
}

impl Shard for CounterShard {
    type Message = Message;
    /// Of [`Message::Top`]; a call has its own answer.
    type Reply = Vec<Ranked>;

    async fn handle(&mut self, message: Message) -> Vec<Ranked> {
        match (self, message) {
            (shard, Message::Top(asked)) => return shard.top(&asked),
            (Self::Volatile(shard), Message::Call(command, answer)) => shard.call(Call::new(command, answer)),
            (Self::Volatile(shard), Message::Take(counters)) => shard.take(counters),
            (Self::Volatile(shard), Message::Release(part, done)) => {
                // Whoever does not wait any more asks again, and is given the same.
                let _nobody = done.send(shard.release(part));
            }
            (Self::Volatile(shard), Message::Begin) => shard.begin(),
            // It has no log; or all that it has is in the log.
            (Self::Volatile(_), Message::Finished(_) | Message::Forget) | (Self::Durable(_), Message::Take(_)) => {}
            (Self::Durable(shard), Message::Call(command, answer)) => shard.call(Call::new(command, answer)),
            (Self::Durable(shard), Message::Begin | Message::Forget) => shard.forget(),
            (Self::Durable(shard), Message::Release(part, done)) => shard.release(part, done),
            (Self::Durable(shard), Message::Finished(finished)) => shard.finished(finished),
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
}

impl CounterShard {
    fn top(&self, asked: &Top) -> Vec<Ranked> {
        let began = Instant::now();
        let ranked = |(id, counted): (CounterId, Counted)| Ranked { value: counted.value, id: Reverse(id) };
        let all: Vec<_> = match self {
            Self::Volatile(shard) => shard.counters().map(ranked).collect(),
            Self::Durable(shard) => {
                let known = |(id, counted)| Some((CounterId::new(id).ok()?, counted));
                shard.counters().filter_map(known).map(ranked).collect()
            }
        };
        let named: HashSet<&CounterId> = asked.named.iter().collect();
        let (mut named, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|ranked| named.contains(&ranked.id.0));
        named.extend(top(asked.limit)(Vec::new(), others));
        let meters = match self {
            Self::Volatile(shard) => &shard.meters,
            Self::Durable(shard) => &shard.common.meters,
        };
        meters.handling.top.record(began.elapsed());
        named
    }
}
