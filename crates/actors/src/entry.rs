//! One key of a shard.

use super::actor::Actor;
use super::answered::Answered;
use super::common::{Addressed, Common, Done, Saved, Work};
use super::handover::HandoverError;
use super::refused::Refused;
use futures_util::FutureExt;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What has become of an actor.
enum State<A> {
    /// It is not made yet.
    Absent,
    Idle(Box<A>),
    /// It handles a message, or saves its state.
    AtWork,
}

/// An actor, what waits for it, and what it has answered.
pub(super) struct Entry<A: Actor> {
    state: State<A>,
    waiting: VecDeque<Addressed<A>>,
    /// What is to be merged into the actor as soon as it is idle.
    merging: Vec<A>,
    pub(super) answered: Answered,
    /// When it was used last, in messages of its shard.
    pub(super) used: u64,
}

/// What an actor has come to.
pub(super) enum Settled {
    /// It can handle what waits; or it is no more.
    Idle,
    /// Its state is saved, and is this as far as it is to move.
    Saved(Saved),
    /// It could not save its state.
    Unsaved,
}

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    /// There is no actor, and nothing waits for one.
    Empty,
}

impl<A: Actor> Entry<A> {
    pub(super) fn new() -> Self {
        Self {
            state: State::Absent,
            waiting: VecDeque::new(),
            merging: Vec::new(),
            answered: Answered::default(),
            used: 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle(_)) && self.waiting.is_empty()
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self.state, State::Absent)
    }

    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.state, State::AtWork)
    }

    /// Takes up a message, if not too many wait.
    pub(super) fn push(&mut self, addressed: Addressed<A>, most: usize) -> Result<(), Addressed<A>> {
        if self.waiting.len() >= most {
            return Err(addressed);
        }
        self.waiting.push_back(addressed);
        Ok(())
    }

    /// Works off what waits, as far as nothing has to be waited for.
    pub(super) fn go_on(&mut self, common: &Arc<Common<A>>, shard: u32, key: &Arc<str>) -> Fate {
        while !self.is_at_work() {
            let Some(next) = self.waiting.pop_front() else { break };
            // Looked at here, where messages have an order: what is handled after the state was handed over would be
            // lost.
            if !common.ownership.owned_shard(shard).may_change() {
                common.refuse(next, Refused::NotOwner);
            } else if let Some(reply) = next.once.and_then(|once| self.answered.reply(once)) {
                next.call.replay(reply);
            } else if !next.call.is_abandoned() {
                let actor = match std::mem::replace(&mut self.state, State::AtWork) {
                    State::Idle(actor) => Some(actor),
                    State::Absent | State::AtWork => None,
                };
                if let Some(done) = begin(common, shard, key, common.handle(actor, next)) {
                    self.settle(common, key, done);
                }
            }
        }
        if matches!(self.state, State::Absent) && self.answered.is_empty() { Fate::Empty } else { Fate::Stays }
    }

    /// What it was at has ended.
    pub(super) fn settle(&mut self, common: &Common<A>, key: &str, done: Done<A>) -> Settled {
        self.state = State::Absent;
        let mut settled = Settled::Idle;
        match done {
            Done::Handled(actor, reply) => {
                self.state = State::Idle(actor);
                if let Some((once, reply)) = reply {
                    self.answered.remember(once, reply, common.options.remembered);
                }
            }
            Done::Saved(actor, state) => {
                self.state = State::Idle(actor);
                settled = state.map_or_else(|error| common.unsaved(key, &error), Settled::Saved);
            }
            Done::NotLoaded => {}
            Done::Panicked => self.panicked(common, key),
        }
        for actor in std::mem::take(&mut self.merging) {
            // What was saved is without it.
            settled = Settled::Idle;
            self.take(common, key, actor);
        }
        settled
    }

    fn panicked(&mut self, common: &Common<A>, key: &str) {
        common.meters.panics.add(1);
        tracing::error!(kind = %common.kind, key, "an actor has panicked: its state is gone, and a new one takes its place");
        // What they belong to is gone.
        (self.state, self.answered) = (State::Absent, Answered::default());
    }

    /// Has an idle actor save its state: what it has saved, if that is known at once.
    pub(super) fn save(&mut self, common: &Arc<Common<A>>, shard: u32, key: &Arc<str>) -> Option<Saved> {
        if !matches!(self.state, State::Idle(_)) {
            return None;
        }
        let State::Idle(actor) = std::mem::replace(&mut self.state, State::AtWork) else { return None };
        let done = begin(common, shard, key, Common::save(actor, Arc::clone(key)))?;
        match self.settle(common, key, done) {
            Settled::Saved(saved) => Some(saved),
            Settled::Unsaved | Settled::Idle => None,
        }
    }

    /// Refuses all that waits.
    pub(super) fn refuse(&mut self, common: &Common<A>) {
        for waiting in self.waiting.drain(..) {
            common.refuse(waiting, Refused::NotOwner);
        }
    }

    /// The actor was another node's. If there is one here as well, each node had taken the other for dead.
    pub(super) fn take(&mut self, common: &Common<A>, key: &str, actor: A) {
        match &mut self.state {
            State::Idle(here) => {
                if catch_unwind(AssertUnwindSafe(|| here.merge(actor))).is_err() {
                    self.panicked(common, key);
                }
            }
            State::AtWork => self.merging.push(actor),
            State::Absent => self.state = State::Idle(Box::new(actor)),
        }
    }
}

/// Has an actor begin with something: what came of it, if that is known at once; else its shard learns it later.
fn begin<A: Actor>(common: &Arc<Common<A>>, shard: u32, key: &Arc<str>, mut work: Work<A>) -> Option<Done<A>> {
    let done = (&mut work).now_or_never();
    if done.is_none() {
        common.follow(shard, Arc::clone(key), work);
    }
    done
}

impl<A: Actor> Common<A> {
    fn unsaved(&self, key: &str, error: &HandoverError) -> Settled {
        self.meters.unsaved.add(1);
        tracing::warn!(kind = %self.kind, key, %error, "an actor could not save its state, and will be asked again to");
        Settled::Unsaved
    }

    pub(super) fn refuse(&self, addressed: Addressed<A>, why: Refused) {
        self.meters.refused.add(1);
        addressed.call.refuse(why);
    }
}
