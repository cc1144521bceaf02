//! What of a shard outlives its actor: the mailbox, the meters, and the state.

use super::error::AskError;
use super::mailbox::{Envelope, Mailbox};
use super::meters::Meters;
use super::options::{AfterPanic, GroupOptions};
use super::shard::Shard;
use std::collections::VecDeque;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub(super) struct Cell<S: Shard> {
    pub(super) group: String,
    pub(super) shard: u32,
    pub(super) after_panic: AfterPanic,
    pub(super) mailbox: Mailbox<S>,
    pub(super) meters: Meters,
    /// Whoever handles messages has it locked until it is noted in the mailbox that he rests: the actor, or one who
    /// asks.
    pub(super) slot: Mutex<Slot<S>>,
    /// Cancelled once the last actor has nothing left to do. The actor's own end would not do: each life has one.
    pub(super) ended: CancellationToken,
}

pub(super) struct Slot<S: Shard> {
    /// None once the group has been stopped.
    pub(super) body: Option<Body<S>>,
    /// Whether it is to recover first.
    pub(super) broken: bool,
    /// How often it has tried to in vain.
    pub(super) tries: u32,
}

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

    /// Has a message handled in the task of whoever asks, if the actor rests and it can be handled at once: the
    /// outcome, or the message; and whether the actor has to be woken.
    pub(super) fn handle_now(&self, message: S::Message) -> (Result<Handled<S>, S::Message>, bool) {
        if !self.mailbox.begin_turn() {
            return (Err(message), false);
        }
        // From here on nobody else wakes the actor. It may not have let the slot go yet.
        let Ok(mut slot) = self.slot.try_lock() else { return (Err(message), self.mailbox.end_turn(false)) };
        let handled = slot.handle_now(self, message);
        // Before the slot is unlocked: whoever has it is the one of whom the mailbox knows that he works.
        let wake = self.mailbox.end_turn(slot.broken);
        (handled, wake)
    }
}

/// What has become of a message.
pub(super) type Handled<S> = Result<<S as Shard>::Reply, AskError>;

impl<S: Shard> Slot<S> {
    fn handle_now(&mut self, cell: &Cell<S>, message: S::Message) -> Result<Handled<S>, S::Message> {
        let Self { body: Some(body), broken: false, .. } = self else { return Err(message) };
        let began = Instant::now();
        let handled = catch_unwind(AssertUnwindSafe(|| body.state.handle_now(message)));
        let handled = match handled {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(message)) => return Err(message),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().copied();
                self.panicked(cell, &text.or(panic.downcast_ref().map(String::as_str)).unwrap_or("without a text"));
                Err(AskError::Panicked)
            }
        };
        cell.meters.busy.add(began.elapsed());
        cell.meters.handled.add(u64::from(handled.is_ok()));
        Ok(handled)
    }

    /// A message has left the state half-way: it is to recover, and what waits is dropped if that is wanted.
    pub(super) fn panicked(&mut self, cell: &Cell<S>, panic: &dyn Display) {
        tracing::error!(group = cell.group, shard = cell.shard, %panic, "a shard panicked");
        cell.meters.panics.add(1);
        self.broken = true;
        if let Some(body) = &mut self.body
            && cell.after_panic == AfterPanic::Drop
        {
            let dropped = body.hand.len() + cell.mailbox.drain().len();
            body.hand.clear();
            cell.meters.dropped.add(dropped as u64);
        }
    }

    /// Puts the state in order, if a message has left it half-way. If that panics, it is still broken.
    pub(super) async fn recover(&mut self, cell: &Cell<S>) {
        if !self.broken {
            return;
        }
        if let Some(body) = &mut self.body {
            self.tries += 1;
            body.state.recover().await;
        }
        (self.broken, self.tries) = (false, 0);
        tracing::warn!(group = cell.group, shard = cell.shard, "restarted after a panic");
    }
}
