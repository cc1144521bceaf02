//! The counters of a shard that keeps them in the log.

use super::batch::Batch;
use super::changes::publish;
use super::command::{Call, CounterValue, Outcome, Refused};
use super::decide::{Known, Map};
use super::error::ServiceError;
use super::id::{AGGREGATE_TYPE, CounterId};
use super::question::CounterItems;
use super::work::{Begun, Common, Finished, Work};
use evenfold::hash::IdHash;
use evenfold::state_table::StateTable;
use evenfold_cluster::sharding::{Part, Released};
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The most commands of one batch.
const MAX_BATCH: usize = 1_000;

/// An append whose caller has ceased to wait is still on its way for so long at most: a minute that the appender waits
/// for the database, and a while for what the network has kept.
const LATEST_APPEND: Duration = Duration::from_secs(75);

/// The counters of a shard that are in memory, and what is on its way to the log. The appender groups what comes from
/// all shards: here a call waits only for those before it that are about the same counter, and for its counter to be
/// read back.
pub(super) struct Durable {
    shard: u32,
    pub(super) common: Arc<Common>,
    /// The epoch of the log that the counters are of.
    epoch: u64,
    /// As they are in the log, unless another node has appended; none for those of which that is not known.
    counters: StateTable<Option<CounterValue>>,
    /// Of which something is on its way, or waits to be read back, and the calls that came after that.
    busy: Map<Vec<Call>>,
    /// The first calls about counters that are to be read back: those that come while some are, are read together.
    unread: Vec<Call>,
    reading: bool,
    /// How many calls have no answer yet.
    open: usize,
    /// Until when an append may come in of which the shard hears nothing: nothing that it reads is kept until then.
    doubtful: Option<Instant>,
    /// Who waits until nothing is on its way any more, to take over the holding of this number.
    released: Vec<(u64, oneshot::Sender<Released<CounterItems>>)>,
    /// What a batch has learned that began before the shard was released is not good any more.
    releases: u64,
    /// How many of those are on their way yet, and how many batches there are in all.
    outdated: usize,
    batches: usize,
}

impl Durable {
    pub(super) fn new(shard: u32, max_actors: usize, common: Arc<Common>) -> Self {
        let epoch = common.log.epochs().number();
        Self {
            shard,
            common,
            epoch,
            counters: StateTable::new(max_actors),
            busy: Map::default(),
            unread: Vec::new(),
            reading: false,
            open: 0,
            doubtful: None,
            released: Vec::new(),
            releases: 0,
            outdated: 0,
            batches: 0,
        }
    }

    /// Answers at once what it can; the rest is to be taken to the log.
    pub(super) fn call(&mut self, call: Call) -> Option<Work> {
        let shard = self.common.ownership.owned_shard(self.shard);
        let (own, may_change) = (shard.is_own(), shard.may_change());
        // An increment that another owner does not know of would make its reads old: it waits until it is clear who is.
        if !own || call.command.changes() && !may_change {
            self.answer(call, Err(Refused::NotOwner));
            return None;
        }
        if !call.command.changes()
            && may_change
            && self.is_present()
            && let Some(counted) = *self.counter(&call.command.id)
        {
            self.answer(call, Ok(counted));
            return None;
        }
        if self.open >= self.common.max_waiting.saturating_add(MAX_BATCH) {
            self.answer(call, Err(ServiceError::Busy.into()));
            return None;
        }
        self.open += 1;
        match self.busy.entry(call.command.id.clone()) {
            Entry::Occupied(before) => {
                before.into_mut().push(call);
                return None;
            }
            Entry::Vacant(free) => free.insert(Vec::new()),
        };
        if !call.command.may_be_repeated() && self.is_certain() && self.counter(&call.command.id).is_some() {
            return Some(self.begin(vec![call], false));
        }
        self.unread.push(call);
        self.read()
    }

    /// What is to be read back, if nothing is just now.
    fn read(&mut self) -> Option<Work> {
        if self.reading || self.unread.is_empty() {
            return None;
        }
        self.reading = true;
        let calls = self.unread.drain(..self.unread.len().min(MAX_BATCH)).collect();
        Some(self.begin(calls, true))
    }

    /// A batch of these calls; those about one counter are next to each other.
    fn begin(&mut self, mut calls: Vec<Call>, reads: bool) -> Work {
        let (mut counters, mut known) = (Vec::new(), Known::default());
        // Asked once: all that the batch begins with is of one epoch.
        let certain = self.is_certain();
        for id in calls.iter().map(|call| &call.command.id) {
            if counters.last() != Some(id) {
                counters.push(id.clone());
                if certain && let Some(counted) = *self.counter(id) {
                    known.insert(id.clone(), Ok(counted));
                }
            }
        }
        let begun = Begun { counters, calls: calls.len(), reads, releases: self.releases };
        // Whoever does not want the answer any more may take it that nothing happened.
        calls.retain(|call| !call.answer.is_closed());
        self.batches += 1;
        let batch = Batch::new(calls, self.epoch, known);
        Work { common: Arc::clone(&self.common), shard: self.shard, batch, begun }
    }

    /// Whether nobody else can have appended to what is in memory: another node may have, if this one may have been
    /// taken for dead.
    fn is_certain(&mut self) -> bool {
        self.is_present() && self.common.ownership.is_certain()
    }

    /// Answers those of a batch that has ended; what has waited for it is to be taken to the log.
    pub(super) fn finished(&mut self, Finished { done, begun }: Finished) -> Vec<Work> {
        self.open -= begun.calls;
        self.batches -= 1;
        self.outdated -= usize::from(begun.releases != self.releases);
        self.reading &= !begun.reads;
        if let Some(done) = done {
            if done.doubtful {
                self.doubt();
            }
            self.is_present();
            let good = begun.releases == self.releases && self.doubtful.is_none_or(|until| until <= Instant::now());
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
            let known = self.common.ownership.owned_shard(self.shard).may_change()
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
        if self.outdated == 0 {
            for (holding, waiting) in std::mem::take(&mut self.released) {
                self.hand_off(holding, waiting);
            }
        }
        self.common.meters.counters(self.shard, self.counters.len());
        self.next(begun.counters)
    }

    /// What has waited for these counters, and what is to be read back.
    fn next(&mut self, counters: Vec<CounterId>) -> Vec<Work> {
        let (mut all, mut calls) = (Vec::new(), Vec::new());
        for id in counters {
            let Entry::Occupied(mut waiting) = self.busy.entry(id) else { continue };
            if waiting.get().is_empty() {
                waiting.remove();
                continue;
            }
            let after = waiting.get().len().min(MAX_BATCH);
            if calls.len() + after > MAX_BATCH {
                all.push(std::mem::take(&mut calls));
            }
            calls.extend(waiting.get_mut().drain(..after));
        }
        all.push(calls);
        let begun = all.into_iter().filter(|calls| !calls.is_empty()).map(|calls| self.begin(calls, false));
        let mut works: Vec<Work> = begun.collect();
        works.extend(self.read());
        works
    }

    /// The shard belongs to another node: refuses what waits, forgets its counters, and answers when nothing is on its
    /// way any more.
    pub(super) fn release(&mut self, part: Part, done: oneshot::Sender<Released<CounterItems>>) {
        if let Some(answer) = self.common.ownership.released(self.shard, part.holding) {
            let _nobody = done.send(answer);
            return;
        }
        let mut refused = Vec::new();
        for unread in std::mem::take(&mut self.unread) {
            refused.extend(self.busy.remove(&unread.command.id).unwrap_or_default());
            refused.push(unread);
        }
        refused.extend(self.busy.values_mut().flat_map(std::mem::take));
        self.open -= refused.len();
        for call in refused {
            self.answer(call, Err(Refused::NotOwner));
        }
        self.forget();
        if self.outdated > 0 {
            self.released.push((part.holding, done));
        } else {
            self.hand_off(part.holding, done);
        }
    }

    /// Nothing is on its way any more, and so there is nothing else to hand over.
    fn hand_off(&self, holding: u64, done: oneshot::Sender<Released<CounterItems>>) {
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
        self.outdated = self.batches;
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
