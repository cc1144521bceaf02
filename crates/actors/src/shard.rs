//! A shard of actors.

use super::actor::Actor;
use super::common::{Addressed, Common, Done, Saved};
use super::entry::{Entry, Fate, Settled};
use super::handover::Handover;
use super::leaving::Leaving;
use super::refused::Refused;
use super::wire::MovedActor;
use evenfold_cluster::sharding::{Part, Released};
use evenfold_groups::Shard;
use hashbrown::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a shard is sent.
pub(super) enum ShardMessage<A> {
    Call(Addressed<A>),
    /// What an actor was at has ended.
    Finished(Arc<str>, Done<A>),
    /// It is another node's now: for a part of what is to be handed over.
    Release(Part, oneshot::Sender<Released<Vec<MovedActor>>>),
    /// Another node has handed this over.
    Take(Vec<MovedActor>),
    /// Its node leaves, and nobody takes it over: all actors are to save their states. How many have not yet.
    Save(oneshot::Sender<usize>),
    /// It is to be this node's now, which has taken over all that others had of it.
    Begin,
}

/// The actors of one shard.
pub(super) struct ActorShard<A: Actor> {
    shard: u32,
    common: Arc<Common<A>>,
    entries: HashMap<Arc<str>, Entry<A>, foldhash::fast::RandomState>,
    leaving: Leaving,
    /// How many messages there have been.
    messages: u64,
}

impl<A: Actor> Shard for ActorShard<A> {
    type Message = ShardMessage<A>;
    type Reply = ();

    async fn handle(&mut self, message: ShardMessage<A>) {
        self.receive(message);
    }

    fn handle_now(&mut self, message: ShardMessage<A>) -> Result<(), ShardMessage<A>> {
        // The others are about all actors of the shard.
        if matches!(message, ShardMessage::Call(_) | ShardMessage::Finished(..)) {
            self.receive(message);
            Ok(())
        } else {
            Err(message)
        }
    }

    async fn recover(&mut self) {
        // What is the user's is caught where it is called.
        tracing::error!(kind = %self.common.kind, shard = self.shard, "a shard of actors goes on with what it has");
    }
}

impl<A: Actor> ActorShard<A> {
    pub(super) fn new(shard: u32, common: Arc<Common<A>>) -> Self {
        Self { shard, common, entries: HashMap::default(), leaving: Leaving::default(), messages: 0 }
    }

    fn receive(&mut self, message: ShardMessage<A>) {
        match message {
            ShardMessage::Call(addressed) => self.call(addressed),
            ShardMessage::Finished(key, done) => self.finished(&key, done),
            ShardMessage::Release(part, answer) => {
                self.leaving.ask(&self.common.ownership, self.shard, part, answer);
                if self.leaving.has_begun() {
                    self.pack();
                }
            }
            ShardMessage::Save(left) => {
                self.leaving.begin();
                self.pack();
                let _nobody = left.send(self.entries.len());
            }
            ShardMessage::Take(moved) => self.take(moved),
            ShardMessage::Begin => {
                let moved = self.leaving.end();
                self.take(moved);
            }
        }
        self.common.meters.actors(self.shard, self.entries.len());
    }

    fn call(&mut self, addressed: Addressed<A>) {
        let Self { common, shard, messages, .. } = self;
        *messages += 1;
        if !common.ownership.owns(*shard) {
            return common.refuse(addressed, Refused::NotOwner);
        }
        if !self.entries.contains_key(&addressed.key) {
            self.make_room();
            if self.entries.len() >= self.common.each {
                return self.common.refuse(addressed, Refused::Full);
            }
            self.entries.insert(Arc::clone(&addressed.key), Entry::new());
        }
        let key = Arc::clone(&addressed.key);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.used = self.messages;
        if let Err(refused) = entry.push(addressed, self.common.options.max_waiting) {
            self.common.refuse(refused, Refused::Busy);
        }
        if entry.go_on(&self.common, self.shard, &key) == Fate::Empty {
            self.entries.remove(&key);
        }
    }

    fn finished(&mut self, key: &Arc<str>, done: Done<A>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match entry.settle(&self.common, key, done) {
            Settled::Saved(saved) => self.saved(key, saved),
            _ if !self.leaving.has_begun() => self.go_on(key),
            Settled::Idle => {
                self.pack_one(key);
                self.leave_if_done();
            }
            // When the shard is asked for once more: what has just failed would fail again.
            Settled::Unsaved => entry.refuse(&self.common),
        }
    }

    fn go_on(&mut self, key: &Arc<str>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.go_on(&self.common, self.shard, key) == Fate::Empty {
            self.entries.remove(key);
        }
    }

    /// An actor has saved its state: it leaves for another node, or makes room for others.
    fn saved(&mut self, key: &Arc<str>, state: Saved) {
        if self.leaving.has_begun() {
            self.leave(key, state);
            self.leave_if_done();
        } else if A::Handover::PASSIVATES && self.entries.get(key).is_some_and(Entry::is_idle) {
            self.common.meters.passivated.add(1);
            self.entries.remove(key);
        } else {
            self.go_on(key);
        }
    }

    fn leave(&mut self, key: &Arc<str>, state: Saved) {
        let Some(mut entry) = self.entries.remove(key) else { return };
        entry.refuse(&self.common);
        let answered = entry.answered.into_list();
        // What lives elsewhere is loaded there.
        if state.is_some() || !answered.is_empty() {
            self.leaving.push(MovedActor { key: key.to_string(), state, answered });
        }
    }

    /// Has those save their states that have been idle longest, an eighth of all, before there are too many.
    fn make_room(&mut self) {
        if !A::Handover::PASSIVATES || self.entries.len() < (self.common.each - self.common.each / 8).max(1) {
            return;
        }
        let mut idle: Vec<(u64, Arc<str>)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_idle())
            .map(|(key, entry)| (entry.used, Arc::clone(key)))
            .collect();
        let most = (self.common.each / 8).clamp(1, idle.len().max(1));
        if idle.len() > most {
            idle.select_nth_unstable(most - 1);
            idle.truncate(most);
        }
        for (_, key) in idle {
            let saved = self.entries.get_mut(&key).and_then(|entry| entry.save(&self.common, self.shard, &key));
            if let Some(saved) = saved {
                self.saved(&key, saved);
            }
        }
    }

    /// Has all actors save their states, those that are at work as soon as they are idle.
    fn pack(&mut self) {
        let keys: Vec<_> = self.entries.keys().cloned().collect();
        for key in keys {
            self.pack_one(&key);
        }
        self.leave_if_done();
    }

    fn pack_one(&mut self, key: &Arc<str>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.refuse(&self.common);
        if entry.is_absent() {
            self.leave(key, None);
        } else if let Some(saved) = entry.save(&self.common, self.shard, key) {
            self.leave(key, saved);
        }
    }

    fn leave_if_done(&mut self) {
        if self.entries.is_empty() {
            let moved = self.leaving.answer(&self.common.ownership, self.shard);
            self.common.meters.moved.add(moved);
        }
    }

    /// Takes over actors from another node, or those that have not left.
    fn take(&mut self, moved: Vec<MovedActor>) {
        for MovedActor { key, state, answered } in moved {
            let key: Arc<str> = key.into();
            let entry = self.entries.entry(Arc::clone(&key)).or_insert_with(Entry::new);
            entry.answered.extend(answered);
            let Some(state) = state else { continue };
            let restored = catch_unwind(AssertUnwindSafe(|| A::Handover::restore(&state)));
            match restored.unwrap_or_else(|_| Err("reading it has panicked".into())) {
                Ok(actor) => entry.take(&self.common, &key, actor),
                Err(error) => {
                    self.common.meters.dropped.add(1);
                    tracing::error!(kind = %self.common.kind, key = &*key, %error, "the state of an actor can't be read: it is gone");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
