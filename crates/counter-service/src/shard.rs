//! A shard of counters, as an actor of the node's group.

use super::command::{Call, CounterValue};
use super::durable::Durable;
use super::id::CounterId;
use super::message::{Message, Top};
use super::question::RankedCounter;
use super::volatile::Volatile;
use super::work::Work;
use evenfold_groups::{Shard, WeakGroup, top};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The group of the shards, for the shards themselves: set once it is there.
pub(super) type Own = Arc<OnceLock<WeakGroup<CounterShard>>>;

pub(super) enum CounterShard {
    Volatile(Volatile),
    Durable(Durable, Own),
}

impl Shard for CounterShard {
    type Message = Message;
    /// Of [`Message::Top`]; a call has its own answer.
    type Reply = Vec<RankedCounter>;

    async fn handle(&mut self, message: Message) -> Vec<RankedCounter> {
        self.receive(message)
    }

    fn handle_now(&mut self, message: Message) -> Result<Vec<RankedCounter>, Message> {
        // The others are about all counters of the shard.
        let is_short = matches!(message, Message::Call(..) | Message::Finished(_));
        if is_short { Ok(self.receive(message)) } else { Err(message) }
    }

    async fn recover(&mut self) {
        match self {
            // Between two steps its counters are whole.
            Self::Volatile(_) => {}
            Self::Durable(shard, _) => shard.forget(),
        }
    }
}

impl CounterShard {
    fn receive(&mut self, message: Message) -> Vec<RankedCounter> {
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
            (Self::Volatile(_), Message::Finished(_) | Message::Forget) | (Self::Durable(..), Message::Take(_)) => {}
            (Self::Durable(shard, own), Message::Call(command, answer)) => {
                take_to_log(shard.call(Call::new(command, answer)), own);
            }
            (Self::Durable(shard, _), Message::Begin | Message::Forget) => shard.forget(),
            (Self::Durable(shard, _), Message::Release(part, done)) => shard.release(part, done),
            (Self::Durable(shard, own), Message::Finished(finished)) => {
                take_to_log(shard.finished(finished), own);
            }
        }
        Vec::new()
    }
}

/// Takes batches to the log, and has the shard see what became of each, also where that panicked.
fn take_to_log(works: impl IntoIterator<Item = Work>, own: &Own) {
    for work in works {
        let (shard, own) = (work.shard, Arc::clone(own));
        tokio::spawn(async move {
            let finished = Message::Finished(work.run().await);
            if let Some(group) = own.get().and_then(WeakGroup::upgrade) {
                // A group that has ended has no counters, and nobody whom it has not answered.
                let _ended = group.ask_shard(shard, finished, Duration::MAX).await;
            }
        });
    }
}

impl CounterShard {
    fn top(&self, asked: &Top) -> Vec<RankedCounter> {
        let began = Instant::now();
        let ranked = |(id, counted): (CounterId, CounterValue)| RankedCounter { value: counted.value, id: Reverse(id) };
        let all: Vec<_> = match self {
            Self::Volatile(shard) => shard.counters().map(ranked).collect(),
            Self::Durable(shard, _) => {
                let known = |(id, counted)| Some((CounterId::new(id).ok()?, counted));
                shard.counters().filter_map(known).map(ranked).collect()
            }
        };
        let named: HashSet<&CounterId> = asked.named.iter().collect();
        let (mut named, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|ranked| named.contains(&ranked.id.0));
        named.extend(top(asked.limit)(Vec::new(), others));
        let meters = match self {
            Self::Volatile(shard) => &shard.meters,
            Self::Durable(shard, _) => &shard.common.meters,
        };
        meters.handling.top.record(began.elapsed());
        named
    }
}
