//! Which shards are this node's, and of which it has something that is to be handed over.
//!
//! A shard has at most one owner, because a node owns it only after all other nodes have answered that they neither own
//! nor claim it, and no node answers that while it claims the shard itself.

use super::handover::{Claimed, Released};
use super::waited_for::WaitedFor;
use crate::Membership;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;

/// How a node stands to a shard, in the lowest bits of its word.
const PHASE: u64 = 0b011;
/// It does not claim it.
const IDLE: u64 = 0;
/// It asks the others.
const CLAIMING: u64 = 1;
/// All others have answered: it takes over what they have.
const TAKING: u64 = 2;
/// It is the owner, as far as it knows.
const OWN: u64 = 3;
/// Whether it has something of the shard.
const HOLDS: u64 = 0b100;
/// What is added to the number of the holding, which is in the other bits: whoever takes the shard over names it, so
/// that a question that was late concerns no later holding.
const NUMBER: u64 = 0b1000;

/// What a node believes to be the owner of. It may be wrong about that where others have taken it for dead:
/// [`is_certain`](Self::is_certain).
pub struct Ownership {
    shards: Box<[AtomicU64]>,
    /// It leaves, and takes nothing over any more.
    leaving: AtomicBool,
    /// Counts what was handed over.
    progress: watch::Sender<u64>,
    /// Whom this node waits for.
    pub(super) waiting: WaitedFor,
    /// None while the node has not joined, and where it is by itself. With how often its certainty has lapsed.
    membership: OnceLock<(Membership, watch::Receiver<u64>)>,
    /// The lapses after which everything was abandoned that was known before.
    outlived: AtomicU64,
}

/// What a node has of a shard that somebody wants to take over from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    /// What was asked for.
    This,
    /// Nothing, or nothing any more.
    Nothing,
    /// Something else: it is not for whoever asks.
    Other,
}

impl Ownership {
    /// So many shards, numbered from 0 on, as many as the cluster has: all of them for a node by itself, or none before
    /// a node has taken them over from others. Others can ask it before it has joined: it has nothing then.
    #[must_use]
    pub fn new(shards: u32, all: bool) -> Self {
        // Another process of this name has used other numbers.
        let number = fastrand::u64(..) & !(PHASE | HOLDS);
        let word = number | if all { OWN | HOLDS } else { IDLE };
        let (progress, _) = watch::channel(0);
        Self {
            shards: (0..shards).map(|_| AtomicU64::new(word)).collect(),
            leaving: AtomicBool::new(false),
            progress,
            waiting: WaitedFor::default(),
            membership: OnceLock::new(),
            outlived: AtomicU64::new(0),
        }
    }

    fn word(&self, shard: u32) -> u64 {
        self.shards.get(shard as usize).map_or(IDLE, |word| word.load(Ordering::SeqCst))
    }

    /// Changes the word of a shard, unless there is no next one; whether there was.
    fn change(&self, shard: u32, next: impl Fn(u64) -> Option<u64>) -> bool {
        let word = self.shards.get(shard as usize);
        word.is_some_and(|word| word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok())
    }

    /// Whether this node owns a shard, as far as it knows.
    #[must_use]
    pub fn owns(&self, shard: u32) -> bool {
        self.word(shard) & PHASE == OWN
    }

    /// Begins to ask the others; whether it did not before. One that leaves claims nothing.
    pub(super) fn claim(&self, shard: u32) -> bool {
        let claimed = self.change(shard, |word| in_phase(word, IDLE).then_some(word & !PHASE | CLAIMING));
        // Looked at afterwards: whoever leaves meanwhile has abandoned the claim, or it is seen here.
        if claimed && self.leaving.load(Ordering::SeqCst) {
            self.abandon(shard);
            return false;
        }
        claimed
    }

    /// The node leaves: what it claims it does not take over any more. Its views may make shards its own for some
    /// milliseconds yet, and one that it took over then would end with it.
    pub(super) fn stop_claiming(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        (0..).take(self.shards.len()).for_each(|shard| self.abandon(shard));
    }

    /// The shard is another node's: it is not claimed any more.
    pub(super) fn abandon(&self, shard: u32) {
        self.change(shard, |word| in_phase(word, CLAIMING).then_some(word & !PHASE | IDLE));
    }

    /// All others have answered; whether the claim was still there.
    pub(super) fn take(&self, shard: u32) -> bool {
        self.change(shard, |word| in_phase(word, CLAIMING).then_some(word & !PHASE | TAKING | HOLDS))
    }

    /// The shard is this node's from now on: it has taken it over.
    pub(super) fn own(&self, shard: u32) {
        self.change(shard, |word| in_phase(word, TAKING).then_some(word & !PHASE | OWN | HOLDS));
    }

    /// The shard is not this node's any more: whoever claims it is to take it over. Views bring that about by
    /// themselves; it is for tests of what hands over.
    pub fn lose(&self, shard: u32) {
        self.change(shard, |word| in_phase(word, OWN).then_some(kept(word)));
    }

    /// The shard was taken over as far as possible, and is not this node's.
    pub(super) fn keep(&self, shard: u32) {
        self.change(shard, |word| in_phase(word, TAKING).then_some(kept(word)));
    }

    /// Others may have owned the shards in between, after so many lapses: all are to be claimed again.
    pub(super) fn disown(&self, lapses: u64) {
        for shard in (0..).take(self.shards.len()) {
            self.lose(shard);
            self.abandon(shard);
        }
        self.outlived.store(lapses, Ordering::SeqCst);
    }

    /// What is answered to another node that claims these shards, in their order; none if there are no such shards.
    #[must_use]
    pub fn answer_claim(&self, shards: &[u32]) -> Option<Vec<Claimed>> {
        if shards.len() > self.shards.len() || shards.iter().any(|shard| *shard as usize >= self.shards.len()) {
            return None;
        }
        // One that has not joined has nothing.
        let view = self.membership().map(|membership| (membership.view(), membership.id()));
        let claimed = shards.iter().map(|shard| {
            // What has changed hands is abandoned here at once, and not only when this node itself gets around to it.
            if view.as_ref().is_some_and(|(view, own)| view.owner(*shard) != *own) {
                self.lose(*shard);
            }
            self.claimed(*shard)
        });
        Some(claimed.collect())
    }

    pub(super) fn claimed(&self, shard: u32) -> Claimed {
        let word = self.word(shard);
        match word & PHASE {
            IDLE if word & HOLDS == 0 => Claimed::Free,
            IDLE => Claimed::Holds(word / NUMBER),
            _ => Claimed::NotYet,
        }
    }

    /// What is answered at once to whoever wants to take over this holding of a shard: [`Released::Done`] where this
    /// node has nothing of the shard any more, and [`Released::Refused`] where it has another holding. None where it
    /// has this one, and so something to hand over.
    #[must_use]
    pub fn released<I>(&self, shard: u32, holding: u64) -> Option<Released<I>> {
        match holding_of(self.word(shard), holding) {
            Holding::This => None,
            Holding::Nothing => Some(Released::Done),
            Holding::Other => Some(Released::Refused),
        }
    }

    /// Whoever has taken this holding over has all of it; whether it was still there. [`Giving`](super::Giving) does
    /// this by itself.
    pub fn handed_off(&self, shard: u32, holding: u64) -> bool {
        let done = self.change(shard, |word| (holding_of(word, holding) == Holding::This).then_some(word & !HOLDS));
        self.progressed();
        done
    }

    /// A part was handed over.
    pub(super) fn progressed(&self) {
        self.progress.send_modify(|parts| *parts += 1);
    }

    /// How much was handed over.
    pub(super) fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Of how many shards this node has something, those that it owns among them.
    #[must_use]
    pub fn holdings(&self) -> usize {
        self.shards.iter().filter(|word| word.load(Ordering::SeqCst) & HOLDS != 0).count()
    }

    /// How many shards this node owns.
    #[must_use]
    pub fn owned(&self) -> usize {
        self.shards.iter().filter(|word| word.load(Ordering::SeqCst) & PHASE == OWN).count()
    }

    pub(super) fn join(&self, membership: Membership) {
        let lapses = membership.lapses();
        // A node joins once.
        let _first = self.membership.set((membership, lapses));
    }

    pub(super) fn membership(&self) -> Option<&Membership> {
        self.membership.get().map(|(membership, _)| membership)
    }

    /// Whether no other node can have taken this one for dead since it has owned what it owns: then nobody else has
    /// changed that. A node by itself is certain.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.membership.get().is_none_or(|(membership, lapses)| {
            // In this order: what makes it certain again has counted the lapse before.
            membership.is_certain() && *lapses.borrow() == self.outlived.load(Ordering::SeqCst)
        })
    }
}

fn in_phase(word: u64, phase: u64) -> bool {
    word & PHASE == phase
}

fn holding_of(word: u64, holding: u64) -> Holding {
    match word & PHASE {
        _ if word & HOLDS == 0 => Holding::Nothing,
        IDLE | CLAIMING if word / NUMBER == holding => Holding::This,
        _ => Holding::Other,
    }
}

/// Not claimed, and something to be handed over, which has a number of its own.
fn kept(word: u64) -> u64 {
    (word & !PHASE | IDLE | HOLDS).wrapping_add(NUMBER)
}

#[cfg(test)]
mod tests;
