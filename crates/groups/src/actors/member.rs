//! A shard as the group sees it: what outlives its actor, and the actor.

use super::cell::Cell;
use super::owner::{Owner, Work};
use super::shard::Shard;
use kameo::actor::ActorRef;
use std::sync::Arc;

pub(super) struct ShardMember<S: Shard> {
    pub(super) cell: Arc<Cell<S>>,
    pub(super) actor: ActorRef<Owner<S>>,
}

impl<S: Shard> ShardMember<S> {
    /// Wakes the actor, which is not at work.
    pub(super) fn wake(&self) {
        // Its own mailbox has room: only those send who found it asleep, and one who is awake sends to itself. One that
        // has ended has nothing left to do.
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
