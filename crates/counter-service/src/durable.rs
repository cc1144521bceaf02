//! The counters of a shard that keeps them in the log.

use super::batch::Batch;
use super::changes::publish;
use super::command::{Call, CounterValue, Outcome, Refused};
use super::decide::Known;
use super::error::ServiceError;
use super::id::{AGGREGATE_TYPE, CounterId};
use super::message::Finished;
use super::meters::Meters;
use super::ownership::{Holding, Ownership};
use super::question::{Part, Released};
use super::storage::Log;
use evenfold::counters::Changes;
use evenfold::hash::IdHash;
use evenfold::state_table::StateTable;
use evenfold_groups::process::Group;
use futures_util::FutureExt;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The most commands of one append.
const MAX_BATCH: usize = 1_000;

/// An append whose caller has ceased to wait is still on its way for so long at most: a minute that the appender waits
/// for the database, and a while for what the network has kept.
const LATEST_APPEND: Duration = Duration::from_secs(75);

/// What the shards of a node have in common.
pub(super) struct Common {
    pub(super) log: Log,
    pub(super) ownership: Arc<Ownership>,
    pub(super) meters: Arc<Meters>,
    pub(super) changes: Group<Arc<Changes>>,
    pub(super) max_waiting: usize,
    pub(super) request_timeout: Duration,
}

/// The counters of a shard that are in memory, and what waits for the log. At most one batch is on its way to it.
pub(super) struct Durable {
    shard: u32,
    pub(super) common: Arc<Common>,
    /// The epoch of the log that the counters are of.
    epoch: u64,
    /// As they are in the log, unless another node has appended; none for those of which that is not known.
    counters: StateTable<Option<CounterValue>>,
    waiting: VecDeque<Call>,
    busy: bool,
    /// Until when an append may come in of which the shard hears nothing: nothing that it reads is kept until then.
    doubtful: Option<Instant>,
    /// Who waits until nothing is on its way any more, to take over the holding of this number.
    released: Vec<(u64, oneshot::Sender<Released>)>,
    /// What a batch has learned that began before the shard was released is not good any more.
    releases: u64,
}

/// A batch that is to be taken to the log.
#[must_use]
pub(super) struct Work {
    common: Arc<Common>,
    pub(super) shard: u32,
    batch: Batch,
    releases: u64,
}

impl Work {
    /// Takes it there. It ends by itself, at the deadline at the latest.
    pub(super) async fn run(self) -> Finished {
        let Self { common, shard, batch, releases } = self;
        // Before those who wait for it have no time left: they are to learn whether it is known that nothing was
        // counted.
        let deadline = Instant::now() + common.request_timeout * 9 / 10;
        let run = batch.run(&common.log, &common.meters, common.ownership.owned_shard(shard), deadline);
        Finished { done: AssertUnwindSafe(run).catch_unwind().await.ok(), releases }
    }
}

impl Durable {
    pub(super) fn new(shard: u32, max_actors: usize, common: Arc<Common>) -> Self {
        let counters = StateTable::new(max_actors);
        let (waiting, released) = (VecDeque::new(), Vec::new());
        let epoch = common.log.epochs().number();
        Self { shard, common, epoch, counters, waiting, busy: false, doubtful: None, released, releases: 0 }
    }

    /// Answers at once what it can; the rest is to be taken to the log.
    pub(super) fn call(&mut self, call: Call) -> Option<Work> {
        let shard = self.common.ownership.owned_shard(self.shard);
        let (own, may_count) = (shard.is_own(), shard.may_count());
        // An increment that another owner does not know of would make its reads old: it waits until it is clear who is.
        if !own || call.command.changes() && !may_count {
            self.answer(call, Err(Refused::NotOwner));
            return None;
        }
        if !call.command.changes()
            && may_count
            && self.is_present()
            && let Some(counted) = *self.counter(&call.command.id)
        {
            self.answer(call, Ok(counted));
            return None;
        }
        if self.waiting.len() >= self.common.max_waiting {
            self.answer(call, Err(ServiceError::Busy.into()));
            return None;
        }
        self.waiting.push_back(call);
        self.begin()
    }

    /// What waits, if nothing is on its way to the log.
    fn begin(&mut self) -> Option<Work> {
        if self.busy {
            return None;
        }
        // Whoever does not want the answer any more may take it that nothing happened.
        self.waiting.retain(|call| !call.answer.is_closed());
        let calls: Vec<Call> = self.waiting.drain(..self.waiting.len().min(MAX_BATCH)).collect();
        if calls.is_empty() {
            return None;
        }
        self.busy = true;
        let mut known = Known::default();
        // A node that may have been taken for dead knows nothing: another one may have appended.
        if self.is_present() && self.common.ownership.is_certain() {
            for id in calls.iter().map(|call| &call.command.id) {
                if let Some(counted) = *self.counter(id) {
                    known.insert(id.clone(), Ok(counted));
                }
            }
        }
        let batch = Batch::new(calls, self.epoch, known);
        Some(Work { common: Arc::clone(&self.common), shard: self.shard, batch, releases: self.releases })
    }

    /// Answers those of a batch that has ended; what has come meanwhile is to be taken to the log.
    pub(super) fn finished(&mut self, finished: Finished) -> Option<Work> {
        self.busy = false;
        if let Some(done) = finished.done {
            if done.doubtful {
                self.doubt();
            }
            self.is_present();
            let good = finished.releases == self.releases && self.doubtful.is_none_or(|until| until <= Instant::now());
            for (id, counted) in done.counters {
                *self.counter(&id) = counted.filter(|_| good);
            }
            // What has ended with its epoch may be published after those who watch have read what is left: see
            // `forget`.
            if done.epoch == self.epoch {
                publish(&self.common.changes, done.answers.iter().map(|(call, outcome)| (call, outcome)));
            }
            // Only now: who has an answer finds it in what is read afterwards. At another node as well: one that waits
            // for this one to end, or one that can't have taken over yet. Otherwise that one has to say it.
            let known = self.common.ownership.owned_shard(self.shard).may_count()
                || self.released.iter().any(|(_, waiting)| !waiting.is_closed());
            for (call, outcome) in done.answers {
                let unsure = !known && call.command.changes() && outcome.is_ok();
                let late = || ServiceError::TimedOut("its shard has no sure owner".to_owned());
                self.answer(call, if unsure { Err(late().into()) } else { outcome });
            }
        } else {
            // What it had decided may be in the log. Whoever waited learns it from the end of the call.
            tracing::error!(shard = self.shard, "a batch panicked; its counters are read back");
            self.doubt();
        }
        for (holding, waiting) in std::mem::take(&mut self.released) {
            self.hand_off(holding, waiting);
        }
        self.common.meters.counters(self.shard, self.counters.len());
        self.begin()
    }

    /// The shard belongs to another node: refuses what waits, forgets its counters, and answers when nothing is on its
    /// way any more.
    pub(super) fn release(&mut self, part: Part, done: oneshot::Sender<Released>) {
        let answer = match self.common.ownership.holding(self.shard, part.holding) {
            Holding::This => None,
            Holding::Nothing => Some(Released::Done),
            Holding::Other => Some(Released::Refused),
        };
        if let Some(answer) = answer {
            let _nobody = done.send(answer);
            return;
        }
        for call in std::mem::take(&mut self.waiting) {
            self.answer(call, Err(Refused::NotOwner));
        }
        self.forget();
        if self.busy {
            self.released.push((part.holding, done));
        } else {
            self.hand_off(part.holding, done);
        }
    }

    /// Nothing is on its way any more, and so there is nothing else to hand over.
    fn hand_off(&self, holding: u64, done: oneshot::Sender<Released>) {
        let was = self.common.ownership.handed_off(self.shard, holding);
        let _nobody = done.send(if was { Released::Done } else { Released::Refused });
    }

    /// An append may be on its way whose outcome will never be known.
    fn doubt(&mut self) {
        self.doubtful = Some(Instant::now() + LATEST_APPEND);
        self.forget();
    }

    /// Forgets all counters: they are read back when they are asked for.
    pub(super) fn forget(&mut self) {
        self.counters.clear();
        self.common.meters.counters(self.shard, 0);
        self.releases += 1;
    }

    /// Whether what is in memory is what the log has, as far as the server behind the connections is concerned: that it
    /// is the same, and was there a moment ago. If it may be another one, or in an earlier state, all is forgotten.
    fn is_present(&mut self) -> bool {
        let epochs = self.common.log.epochs();
        // In this order: an epoch that ends in between has another number.
        let (alive, number) = (epochs.is_alive(), epochs.number());
        if self.epoch != number {
            self.epoch = number;
            self.forget();
        }
        alive
    }

    fn counter(&mut self, id: &CounterId) -> &mut Option<CounterValue> {
        self.common.meters.passivated.add(self.counters.make_room(1) as u64);
        self.counters.get_or_insert(IdHash::of(id.as_str()), (AGGREGATE_TYPE, id.as_str()), || None)
    }

    /// What the shard knows of its counters: of all of them nothing, if it is another node's, or the database is
    /// away.
    pub(super) fn counters(&self) -> impl Iterator<Item = (&str, CounterValue)> {
        let epochs = self.common.log.epochs();
        let present = epochs.is_alive() && epochs.number() == self.epoch;
        let owns = present && self.common.ownership.owns(self.shard);
        self.counters.iter().filter(move |_| owns).filter_map(|(_, id, counted)| Some((id, (*counted)?)))
    }

    fn answer(&self, call: Call, outcome: Outcome) {
        self.common.meters.answered(&call);
        call.answer(outcome);
    }
}
