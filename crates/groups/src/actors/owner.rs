//! The actor that owns a shard, supervised: it works through the mailbox, and when it panics another one goes on where
//! it was.

use super::cell::{Body, Cell};
use super::mailbox::{Envelope, Next};
use super::meters::Meters;
use super::shard::Shard;
use kameo::actor::{Actor, ActorRef, Spawn, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible, PanicError};
use kameo::message::{Context, Message};
use kameo::supervision::RestartPolicy;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an actor works before it lets others have its thread.
const SLICE: Duration = Duration::from_millis(1);

/// The pause before `recover` is tried again after it panicked itself: doubled up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Has an actor look into its mailbox.
pub(super) struct Work;

/// Restarts the actors of a group. It ends with the group.
pub(super) struct Supervisor;

impl Actor for Supervisor {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

pub(super) struct Owner<S: Shard> {
    cell: Arc<Cell<S>>,
}

/// Starts a shard's actor. However often it panics, it is restarted: each time a message is gone, so it gets on.
pub(super) async fn spawn<S: Shard>(supervisor: &ActorRef<Supervisor>, cell: &Arc<Cell<S>>) -> ActorRef<Owner<S>> {
    let actor = Owner::supervise(supervisor, Arc::clone(cell));
    actor.restart_policy(RestartPolicy::Transient).restart_limit(u32::MAX, Duration::from_secs(1)).spawn().await
}

impl<S: Shard> Actor for Owner<S> {
    type Args = Arc<Cell<S>>;
    type Error = Infallible;

    async fn on_start(cell: Self::Args, actor: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut slot = cell.slot.lock().await;
        if slot.tries > 0 {
            tokio::time::sleep((FIRST_PAUSE * 2_u32.pow(slot.tries.min(10) - 1)).min(LONGEST_PAUSE)).await;
        }
        slot.recover(&cell).await;
        drop(slot);
        // Those who found the mailbox awake have not woken it, and the message that did may be the one that is gone.
        let _full = actor.tell(Work).try_send();
        Ok(Self { cell })
    }

    async fn on_panic(
        &mut self,
        _: WeakActorRef<Self>,
        panic: PanicError,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        self.cell.slot.lock().await.panicked(&self.cell, &panic);
        Ok(ControlFlow::Break(ActorStopReason::Panicked(panic)))
    }
}

impl<S: Shard> Message<Work> for Owner<S> {
    type Reply = ();

    async fn handle(&mut self, _: Work, context: &mut Context<Self, ()>) {
        let cell = &self.cell;
        let mut slot = cell.slot.lock().await;
        slot.recover(cell).await;
        let Some(body) = &mut slot.body else { return };
        let mut pace = Pace::new();
        loop {
            work_off(cell, body, &mut pace).await;
            match cell.mailbox.next(&mut body.hand) {
                Next::Handle => {}
                Next::Give(change) => {
                    change.give(cell.shard, &mut body.state);
                    // In this order: once those who take get on, the next change may come.
                    cell.mailbox.has_given();
                    change.has_given();
                }
                Next::Take(change) => change.take(cell.shard, &mut body.state),
                Next::Rest => return,
                Next::End => break,
            }
        }
        cell.ended.cancel();
        context.stop();
    }
}

/// Handles what is in the hand, and lets others have the thread after each slice of time.
async fn work_off<S: Shard>(cell: &Cell<S>, body: &mut Body<S>, pace: &mut Pace) {
    if body.hand.is_empty() {
        return;
    }
    let mut busy = Busy { meters: &cell.meters, began: Instant::now() };
    // One at a time is taken out, so that after a panic the others are still here.
    while let Some(Envelope { message, reply, accepted, .. }) = next_in_hand(cell, body) {
        if let Some(accepted) = accepted {
            cell.meters.queueing.add_sample(accepted, Instant::now());
        }
        let answer = body.state.handle(message).await;
        // Before the answer: who has it finds the message counted.
        cell.meters.handled.add(1);
        if let Some(reply) = reply {
            // Whoever asked may have ceased to wait.
            let _nobody = reply.send(answer);
        }
        if pace.has_expired() {
            let yielded = Instant::now();
            tokio::task::yield_now().await;
            busy.leave_out(yielded.elapsed());
            *pace = Pace::new();
        }
    }
}

/// When a slice of time has passed. Reading the clock takes as long as handling a small message, so it is read once in
/// several of these, and after each that takes long.
struct Pace {
    began: Instant,
    read: Instant,
    every: u32,
    unread: u32,
}

impl Pace {
    fn new() -> Self {
        let now = Instant::now();
        Self { began: now, read: now, every: 1, unread: 0 }
    }

    fn has_expired(&mut self) -> bool {
        self.unread += 1;
        if self.unread < self.every {
            return false;
        }
        let now = Instant::now();
        let quick = now.duration_since(self.read) < SLICE / 50;
        (self.read, self.unread, self.every) = (now, 0, if quick { (self.every * 2).min(32) } else { 1 });
        now.duration_since(self.began) > SLICE
    }
}

/// Counts the time, up to a panic if there is one.
struct Busy<'a> {
    meters: &'a Meters,
    began: Instant,
}

impl Busy<'_> {
    /// Others have had the thread for so long.
    fn leave_out(&mut self, others: Duration) {
        self.began += others;
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.meters.busy.add(self.began.elapsed());
    }
}

fn next_in_hand<S: Shard>(cell: &Cell<S>, body: &mut Body<S>) -> Option<Envelope<S>> {
    loop {
        let envelope = body.hand.pop_front()?;
        if !envelope.is_abandoned() {
            return Some(envelope);
        }
        cell.meters.abandoned.add(1);
    }
}
