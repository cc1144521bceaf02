//! What of a shard outlives its actor: the mailbox, the meters, and, between two lives, the state.

use super::mailbox::{Envelope, Mailbox};
use super::meters::Meters;
use super::options::{AfterPanic, GroupOptions};
use super::owner::{Owner, Work};
use super::shard::Shard;
use kameo::actor::ActorRef;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub(super) struct Cell<S: Shard> {
    pub(super) group: String,
    pub(super) shard: u32,
    pub(super) after_panic: AfterPanic,
    pub(super) mailbox: Mailbox<S>,
    pub(super) meters: Meters,
    /// The body is in here while no actor has it: before the first one, between two, and after the last.
    pub(super) slot: Mutex<Slot<S>>,
    /// Cancelled once the last actor has put the body back. The actor's own end would not do: each life has one.
    pub(super) ended: CancellationToken,
}

pub(super) struct Slot<S: Shard> {
    pub(super) body: Option<Body<S>>,
    /// Whether it is to recover first.
    pub(super) broken: bool,
    /// How often it has tried to in vain.
    pub(super) tries: u32,
}

/// What an actor takes over from the one before it.
pub(super) struct Body<S: Shard> {
    pub(super) state: S,
    /// Taken out of the mailbox, and not handled yet.
    pub(super) hand: VecDeque<Envelope<S>>,
}

impl<S: Shard> Cell<S> {
    pub(super) fn new(options: &GroupOptions, shard: u32, state: S) -> Self {
        let body = Some(Body { state, hand: VecDeque::new() });
        Self {
            group: options.id.clone(),
            shard,
            after_panic: options.after_panic,
            mailbox: Mailbox::new(options.mailbox),
            meters: Meters::default(),
            slot: Mutex::new(Slot { body, broken: false, tries: 0 }),
            ended: CancellationToken::new(),
        }
    }
}

/// A shard as the group sees it.
pub(super) struct Member<S: Shard> {
    pub(super) cell: Arc<Cell<S>>,
    pub(super) actor: ActorRef<Owner<S>>,
}

impl<S: Shard> Clone for Member<S> {
    fn clone(&self) -> Self {
        Self { cell: Arc::clone(&self.cell), actor: self.actor.clone() }
    }
}

impl<S: Shard> Member<S> {
    /// Wakes the actor, which is not at work.
    pub(super) fn wake(&self) {
        // Its own mailbox has room: only those send who found it asleep, and one who is awake sends to itself. One that has
        // ended has nothing left to do.
        let _ended = self.actor.tell(Work).try_send();
    }

    /// Wakes the actor if it is not at work.
    pub(super) fn rouse(&self) {
        if self.cell.mailbox.rouse() {
            self.wake();
        }
    }

    /// Has it end once it has handled what it has accepted.
    pub(super) fn close(&self) {
        if self.cell.mailbox.close() {
            self.wake();
        }
    }
}
