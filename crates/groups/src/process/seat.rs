//! A member's place in a group: its queue, which is bounded, and what becomes of a message when that is full.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Semaphore, TryAcquireError};

/// What becomes of a message whose member has a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    /// The broadcast waits for room, for this time at most; then the message is refused, and the member goes without.
    Wait(Duration),
    /// The oldest message of the queue makes room, and is counted.
    DropOldest,
    /// The member is put out. It still gets what is in its queue, and then [`LeaveReason::Evicted`].
    Evict,
}

/// How a member takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinOptions {
    /// How many messages may wait for it: 1 to [`MAX_QUEUE`](super::MAX_QUEUE).
    pub queue: usize,
    /// What becomes of further ones.
    pub slow: Slow,
}

impl JoinOptions {
    /// The same with this [`queue`](Self::queue).
    #[must_use]
    pub fn queue(self, queue: usize) -> Self {
        Self { queue, ..self }
    }

    /// The same with this [`slow`](Self::slow).
    #[must_use]
    pub fn slow(self, slow: Slow) -> Self {
        Self { slow, ..self }
    }
}

impl Default for JoinOptions {
    /// 1,024 messages, of which the oldest makes room.
    fn default() -> Self {
        Self { queue: 1_024, slow: Slow::DropOldest }
    }
}

/// Why somebody is a member no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LeaveReason {
    /// It has ended, or left by itself.
    #[error("it has stopped")]
    Stopped,
    /// It has panicked.
    #[error("it has panicked")]
    Panicked,
    /// [`Group::leave`](super::Group::leave) was called for it.
    #[error("it was removed from the group")]
    Removed,
    /// Its queue was full, and that is its policy.
    #[error("it was too slow, and evicted")]
    Evicted,
    /// The group was deleted, or nobody has a handle of it any more.
    #[error("the group was deleted")]
    Deleted,
}

/// What a member has got, and not. What it has received is `accepted - dropped - queued`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStats {
    /// Its name.
    pub id: Arc<str>,
    /// Messages that wait in its queue.
    pub queued: usize,
    /// Messages that were put into its queue.
    pub accepted: u64,
    /// Messages that were taken out of its queue again, to make room.
    pub dropped: u64,
    /// Messages that were waited with in vain, and never in its queue.
    pub refused: u64,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered<M> {
    Accepted,
    /// Accepted, and the oldest is gone.
    InPlaceOfOldest,
    Full(M),
    /// The member has left.
    Ended,
}

/// The queue, between those who broadcast and the member.
#[derive(Debug)]
pub(super) struct Seat<M> {
    pub(super) id: Arc<str>,
    pub(super) options: JoinOptions,
    queue: Mutex<Queue<M>>,
    /// The room in the queue, where it may be waited for; first come, first served. Whoever finds others waiting waits
    /// behind them.
    room: Semaphore,
}

#[derive(Debug)]
struct Queue<M> {
    messages: VecDeque<M>,
    accepted: u64,
    dropped: u64,
    refused: u64,
    ended: Option<LeaveReason>,
    reader: Option<Waker>,
}

impl<M> Seat<M> {
    pub(super) fn new(id: Arc<str>, options: JoinOptions) -> Self {
        let (messages, reader) = (VecDeque::new(), None);
        let queue = Queue { messages, accepted: 0, dropped: 0, refused: 0, ended: None, reader };
        Self { id, options, queue: Mutex::new(queue), room: Semaphore::new(options.queue) }
    }

    /// Puts a message into the queue if that is possible without waiting.
    pub(super) fn offer(&self, message: M) -> Offered<M> {
        if !matches!(self.options.slow, Slow::Wait(_)) {
            return self.push(message);
        }
        match self.room.try_acquire() {
            Ok(room) => {
                room.forget();
                self.push(message)
            }
            Err(TryAcquireError::NoPermits) => Offered::Full(message),
            Err(TryAcquireError::Closed) => Offered::Ended,
        }
    }

    /// Waits for room, no longer than this, and puts the message into the queue; counts it as refused otherwise.
    ///
    /// # Cancel safety
    ///
    /// The message is in the queue or not.
    pub(super) async fn offer_within(&self, message: M, wait: Duration) -> Offered<M> {
        match tokio::time::timeout(wait, self.room.acquire()).await {
            Ok(Ok(room)) => {
                room.forget();
                self.push(message)
            }
            Ok(Err(_closed)) => Offered::Ended,
            Err(_elapsed) => {
                self.refuse();
                Offered::Full(message)
            }
        }
    }

    /// Counts a message that the member goes without.
    pub(super) fn refuse(&self) {
        self.queue().refused += 1;
    }

    fn push(&self, message: M) -> Offered<M> {
        let mut queue = self.queue();
        if queue.ended.is_some() {
            return Offered::Ended;
        }
        // Never so where room is waited for: the semaphore has less of it than the queue.
        let full = queue.messages.len() >= self.options.queue;
        if full && self.options.slow == Slow::Evict {
            return Offered::Full(message);
        }
        let oldest = if full { queue.messages.pop_front() } else { None };
        queue.messages.push_back(message);
        queue.accepted += 1;
        queue.dropped += u64::from(full);
        let reader = queue.reader.take();
        drop(queue);
        // Outside of the lock: these run code of others, which may call back.
        drop(oldest);
        if let Some(reader) = reader {
            reader.wake();
        }
        if full { Offered::InPlaceOfOldest } else { Offered::Accepted }
    }

    /// The next message. What was accepted before the end comes before the end.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<M, LeaveReason>> {
        let mut queue = self.queue();
        if let Some(next) = self.pop(&mut queue) {
            return Poll::Ready(next);
        }
        if !queue.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            queue.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The next message, if one is there.
    pub(super) fn try_next(&self) -> Option<Result<M, LeaveReason>> {
        self.pop(&mut self.queue())
    }

    fn pop(&self, queue: &mut Queue<M>) -> Option<Result<M, LeaveReason>> {
        let Some(message) = queue.messages.pop_front() else { return queue.ended.map(Err) };
        if matches!(self.options.slow, Slow::Wait(_)) {
            self.room.add_permits(1);
        }
        Some(Ok(message))
    }

    /// Lets nothing more in, and notifies the member, and whoever waits for room.
    pub(super) fn end(&self, why: LeaveReason) {
        let mut queue = self.queue();
        queue.ended.get_or_insert(why);
        let reader = queue.reader.take();
        drop(queue);
        self.room.close();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Throws away what nobody will receive. The seat has ended.
    pub(super) fn clear(&self) {
        let messages = std::mem::take(&mut self.queue().messages);
        drop(messages);
    }

    pub(super) fn stats(&self) -> MemberStats {
        let queue = self.queue();
        let Queue { accepted, dropped, refused, .. } = *queue;
        MemberStats { id: Arc::clone(&self.id), queued: queue.messages.len(), accepted, dropped, refused }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<M>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(queue: usize, slow: Slow) -> Seat<u32> {
        Seat::new("m".into(), JoinOptions { queue, slow })
    }

    #[test]
    fn a_full_queue_drops_its_oldest_or_takes_nothing_as_its_policy_says() {
        let (drops, evicts, waits) =
            (seat(2, Slow::DropOldest), seat(2, Slow::Evict), seat(2, Slow::Wait(Duration::ZERO)));
        for seat in [&drops, &evicts, &waits] {
            assert_eq!((seat.offer(1), seat.offer(2)), (Offered::Accepted, Offered::Accepted));
        }
        assert_eq!(drops.offer(3), Offered::InPlaceOfOldest);
        assert_eq!((evicts.offer(3), waits.offer(3)), (Offered::Full(3), Offered::Full(3)));
        assert_eq!((drops.try_next(), evicts.try_next(), waits.try_next()), (Some(Ok(2)), Some(Ok(1)), Some(Ok(1))));
        assert_eq!((evicts.offer(4), waits.offer(4)), (Offered::Accepted, Offered::Accepted));
        assert_eq!(drops.stats(), MemberStats { id: "m".into(), queued: 1, accepted: 3, dropped: 1, refused: 0 });
    }

    #[test]
    fn what_was_accepted_before_the_end_comes_before_it_and_nothing_after() {
        for slow in [Slow::DropOldest, Slow::Evict, Slow::Wait(Duration::ZERO)] {
            let seat = seat(2, slow);
            seat.offer(1);
            seat.end(LeaveReason::Removed);
            seat.end(LeaveReason::Deleted);
            assert_eq!(seat.offer(2), Offered::Ended);
            assert_eq!(seat.try_next(), Some(Ok(1)));
            assert_eq!(
                (seat.try_next(), seat.try_next()),
                (Some(Err(LeaveReason::Removed)), Some(Err(LeaveReason::Removed)))
            );
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_room_is_served_before_those_who_come_later() {
        let seat = seat(1, Slow::Wait(Duration::MAX));
        seat.offer(1);
        let mut second = std::pin::pin!(seat.offer_within(2, Duration::MAX));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(seat.try_next(), Some(Ok(1)));
        assert_eq!(seat.offer(3), Offered::Full(3), "the room is the second's");
        assert_eq!(second.await, Offered::Accepted);
        assert_eq!(seat.try_next(), Some(Ok(2)));
    }
}
