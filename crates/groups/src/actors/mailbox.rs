//! What waits for a shard, in order and bounded, and what its actor is to do next.
//!
//! Messages do not travel through kameo's mailbox one by one: they are put in here, and the actor is only woken when it
//! is not at work. It takes what waits in batches, so that many small messages cost little more than being stored.

use super::change::ShardChange;
use super::shard::Shard;
use crate::KeyHash;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, oneshot};

/// The most messages that an actor takes at once.
const LARGEST_BATCH: usize = 256;

/// To whom a message goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Address {
    /// To the shard of a key, wherever that is by then.
    Key(KeyHash),
    /// To this shard.
    Shard(u32),
}

pub(super) struct Envelope<S: Shard> {
    pub(super) message: S::Message,
    pub(super) reply: Option<oneshot::Sender<S::Reply>>,
    pub(super) address: Address,
    /// When it was accepted, for those whose waiting is measured.
    pub(super) accepted: Option<Instant>,
}

impl<S: Shard> Envelope<S> {
    /// Whether somebody asked and waits no more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

pub(super) struct Mailbox<S: Shard> {
    inner: Mutex<Inner<S>>,
    capacity: usize,
    /// Wakes senders that wait for room, first come, first served.
    room: Notify,
    waiting: AtomicUsize,
}

struct Inner<S: Shard> {
    queue: VecDeque<Envelope<S>>,
    /// How many the actor has taken out and may not have handled yet.
    in_hand: usize,
    /// The actor has been woken, or is at work, and will look again before it rests.
    awake: bool,
    closed: bool,
    /// What is to be given away before the next message.
    give: Option<Arc<dyn ShardChange<S>>>,
    /// What is to be taken before the next message, once all have given.
    take: Option<Arc<dyn ShardChange<S>>>,
    givers_left: usize,
}

/// What an actor is to do.
pub(super) enum Next<S: Shard> {
    /// To handle what is in its hand.
    Handle,
    /// To give away what leaves it.
    Give(Arc<dyn ShardChange<S>>),
    /// To take what has come to it.
    Take(Arc<dyn ShardChange<S>>),
    /// To rest until it is woken.
    Rest,
    /// To end.
    End,
}

/// A message that is not accepted.
pub(super) enum Refused<S: Shard> {
    Full(Envelope<S>),
    Closed(Envelope<S>),
}

impl<S: Shard> Mailbox<S> {
    pub(super) fn new(capacity: usize) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            in_hand: 0,
            awake: false,
            closed: false,
            give: None,
            take: None,
            givers_left: 0,
        };
        Self { inner: Mutex::new(inner), capacity, room: Notify::new(), waiting: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        // Nothing of the user's runs under this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts a message; returns whether the actor has to be woken.
    pub(super) fn push(&self, envelope: Envelope<S>) -> Result<bool, Refused<S>> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused::Closed(envelope));
        }
        if inner.queue.len() + inner.in_hand >= self.capacity {
            return Err(Refused::Full(envelope));
        }
        inner.queue.push_back(envelope);
        Ok(!std::mem::replace(&mut inner.awake, true))
    }

    /// Whether whoever asks may handle a message himself: the actor rests, and has nothing to do. Until he has
    /// [ended his turn](Self::end_turn) nobody wakes it.
    pub(super) fn begin_turn(&self) -> bool {
        let mut inner = self.lock();
        let rests = !inner.awake && !inner.has_work() && inner.givers_left == 0;
        inner.awake |= rests;
        rests
    }

    /// The turn is over. Returns whether the actor has to be woken: it has something else to do, or something has come
    /// meanwhile.
    pub(super) fn end_turn(&self, else_to_do: bool) -> bool {
        let mut inner = self.lock();
        inner.awake = else_to_do || inner.has_work();
        inner.awake
    }

    /// Says what to do next, and puts messages into the empty hand.
    pub(super) fn next(&self, hand: &mut VecDeque<Envelope<S>>) -> Next<S> {
        let mut inner = self.lock();
        let handled = std::mem::take(&mut inner.in_hand);
        let next = inner.next(hand, (self.capacity / 8).clamp(1, LARGEST_BATCH));
        drop(inner);
        self.wake_senders(handled);
        next
    }

    fn wake_senders(&self, room: usize) {
        // A sender counts itself before it finds the mailbox full under the lock, so that it is seen here, after the
        // lock.
        for _ in 0..room.min(self.waiting.load(Ordering::SeqCst)) {
            self.room.notify_one();
        }
    }

    /// How many messages wait, those in the actor's hand included.
    pub(super) fn depth(&self) -> usize {
        let inner = self.lock();
        inner.queue.len() + inner.in_hand
    }

    /// A place among those who wait for room.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting { room: &self.room, waiting: &self.waiting }
    }

    /// Accepts nothing more. Returns whether the actor has to be woken.
    pub(super) fn close(&self) -> bool {
        let mut inner = self.lock();
        inner.closed = true;
        let wake = !std::mem::replace(&mut inner.awake, true);
        drop(inner);
        self.room.notify_waiters();
        wake
    }

    /// Takes out what waits and is not in the actor's hand.
    pub(super) fn drain(&self) -> VecDeque<Envelope<S>> {
        let queue = std::mem::take(&mut self.lock().queue);
        self.room.notify_waiters();
        queue
    }

    /// Puts a message back that has been accepted before, be the mailbox full or not.
    pub(super) fn put_back(&self, envelope: Envelope<S>) {
        self.lock().queue.push_back(envelope);
    }

    /// Before its next message, the actor gives away what leaves it.
    pub(super) fn give(&self, change: Arc<dyn ShardChange<S>>) {
        self.lock().give = Some(change);
    }

    /// The actor has given away what leaves it.
    pub(super) fn has_given(&self) {
        self.lock().give = None;
    }

    /// Before its next message, the actor takes what so many others give.
    pub(super) fn expect(&self, givers: usize, change: Arc<dyn ShardChange<S>>) {
        let mut inner = self.lock();
        (inner.givers_left, inner.take) = (givers, Some(change));
    }

    /// One of the others has given.
    pub(super) fn one_has_given(&self) {
        let mut inner = self.lock();
        inner.givers_left = inner.givers_left.saturating_sub(1);
    }

    /// Whether the actor is asleep and has to be woken now.
    pub(super) fn rouse(&self) -> bool {
        !std::mem::replace(&mut self.lock().awake, true)
    }
}

impl<S: Shard> Inner<S> {
    fn has_work(&self) -> bool {
        self.closed || !self.queue.is_empty() || self.give.is_some() || self.take.is_some()
    }

    fn next(&mut self, hand: &mut VecDeque<Envelope<S>>, most: usize) -> Next<S> {
        if let Some(change) = &self.give {
            return Next::Give(Arc::clone(change));
        }
        if self.givers_left == 0
            && let Some(change) = self.take.take()
        {
            return Next::Take(change);
        }
        if self.givers_left > 0 || self.queue.is_empty() {
            if self.closed && self.givers_left == 0 {
                return Next::End;
            }
            self.awake = false;
            return Next::Rest;
        }
        let count = self.queue.len().min(most);
        hand.extend(self.queue.drain(..count));
        self.in_hand = count;
        Next::Handle
    }
}

/// One who waits for room.
pub(super) struct Waiting<'a> {
    room: &'a Notify,
    waiting: &'a AtomicUsize,
}

impl<'a> Waiting<'a> {
    pub(super) fn room(&self) -> tokio::sync::futures::Notified<'a> {
        self.room.notified()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
