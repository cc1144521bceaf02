//! Data parallelism: a key belongs to one of N shards, and each shard is owned by one actor.

mod cell;
mod change;
mod copies;
mod error;
mod gather;
mod handover;
mod mailbox;
mod member;
mod meters;
mod options;
mod owner;
mod report;
mod resize;
mod router;
mod shard;

pub use error::{AskError, GatherError, ResizeError, SendError};
pub use gather::{Gathered, Missing, top, total};
pub use options::{AfterPanic, GroupOptions, GroupOptionsError, MAX_MAILBOX, MAX_SHARDS};
pub use report::{GroupMetrics, ShardMetrics};
pub use shard::{Resizable, Shard};

use crate::KeyHash;
use mailbox::{Address, Envelope, Refused};
use router::{Router, unasked};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Actors that have the keys divided among them. Clones are the same group.
///
/// A key belongs to the shard that [jump consistent hash](KeyHash::shard) gives, whose actor handles one message at a
/// time. Messages of one sender about one key are handled in the order in which they were sent, also while the number
/// of shards [changes](Self::resize) and when the shard panics; nothing is promised about the order of different keys.
///
/// When the last clone is dropped, what was accepted is still handled, by actors that nobody restarts any more: to see
/// it done, [stop](Self::stop).
pub struct ActorGroup<S: Shard> {
    router: Arc<Router<S>>,
}

impl<S: Shard> Clone for ActorGroup<S> {
    fn clone(&self) -> Self {
        Self { router: Arc::clone(&self.router) }
    }
}

/// A group that is there for as long as others [keep](ActorGroup) it.
pub struct WeakGroup<S: Shard> {
    router: Weak<Router<S>>,
}

impl<S: Shard> Clone for WeakGroup<S> {
    fn clone(&self) -> Self {
        Self { router: Weak::clone(&self.router) }
    }
}

impl<S: Shard> WeakGroup<S> {
    /// The group, if it is still there.
    #[must_use]
    pub fn upgrade(&self) -> Option<ActorGroup<S>> {
        self.router.upgrade().map(|router| ActorGroup { router })
    }
}

impl<S: Shard> ActorGroup<S> {
    /// Starts an actor for each shard, with the state that `make` gives for its number. `make` is called again for the
    /// shards that come with a [resize](Self::resize).
    ///
    /// # Errors
    ///
    /// [`GroupOptionsError`] for numbers out of their limits.
    ///
    /// # Cancel safety
    ///
    /// A group whose start is dropped has never been.
    pub async fn start(
        options: GroupOptions,
        make: impl Fn(u32) -> S + Send + Sync + 'static,
    ) -> Result<Self, GroupOptionsError> {
        options.check()?;
        Ok(Self { router: Arc::new(Router::start(options, Box::new(make)).await) })
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.router.shards()
    }

    /// The number of the shard that a key belongs to, from 0: where a message about it would go now. None once the
    /// group has been stopped.
    ///
    /// The same key has the same shard until a [resize](Self::resize) changes the number of shards; from n shards to
    /// n + 1, one key in n + 1 moves, to the new shard. In groups with equally many shards a key has the same number.
    ///
    /// It sends nothing and waits for no shard: it costs a hash over the bytes of the key, about ln(n) steps for n
    /// shards, and the lock that every sender takes for reading.
    #[must_use]
    pub fn shard_of(&self, key: impl Into<KeyHash>) -> Option<u32> {
        self.router.shard_of(key.into())
    }

    /// Sends a message to the shard of a key, if its mailbox has room.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message, which has not been accepted.
    pub fn try_send(&self, key: impl Into<KeyHash>, message: S::Message) -> Result<(), SendError<S::Message>> {
        let address = Address::Key(key.into());
        self.router.offer(Envelope { message, reply: None, address, accepted: None }).map_err(refused)
    }

    /// Sends a message to the shard of a key, and waits for room in its mailbox up to this time.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message, which has not been accepted.
    ///
    /// # Cancel safety
    ///
    /// A message whose sending is dropped while it waits for room has not been accepted, and is dropped with it.
    pub async fn send(
        &self,
        key: impl Into<KeyHash>,
        message: S::Message,
        wait: Duration,
    ) -> Result<(), SendError<S::Message>> {
        let envelope = Envelope { message, reply: None, address: Address::Key(key.into()), accepted: None };
        match self.router.offer(envelope) {
            Err(Refused::Full(envelope)) => self.router.offer_until(envelope, deadline(wait)).await.map_err(refused),
            other => other.map_err(refused),
        }
    }

    /// Sends a message to the shard of a key, if its mailbox has room, and waits for the answer up to this time.
    ///
    /// # Errors
    ///
    /// [`AskError`], which says whether the message may have been handled.
    ///
    /// # Cancel safety
    ///
    /// When nobody waits for its answer any more, a message that was accepted is handled only if its turn had come.
    pub async fn try_ask(
        &self,
        key: impl Into<KeyHash>,
        message: S::Message,
        timeout: Duration,
    ) -> Result<S::Reply, AskError> {
        let address = Address::Key(key.into());
        let message = match self.router.ask_now(address, message).await {
            Ok(handled) => return handled,
            Err(message) => message,
        };
        let (reply, answer) = oneshot::channel();
        self.router
            .offer(Envelope { message, reply: Some(reply), address, accepted: None })
            .map_err(|refused| unasked(&refused))?;
        self.router.answer(answer, deadline(timeout)).await
    }

    /// Sends a message to the shard of a key, and waits for room in its mailbox and for the answer, together up to this
    /// time.
    ///
    /// # Errors
    ///
    /// [`AskError`], which says whether the message may have been handled.
    ///
    /// # Cancel safety
    ///
    /// As for [`try_ask`](Self::try_ask).
    pub async fn ask(
        &self,
        key: impl Into<KeyHash>,
        message: S::Message,
        timeout: Duration,
    ) -> Result<S::Reply, AskError> {
        self.ask_at(Address::Key(key.into()), message, timeout).await
    }

    /// Sends a message to the shard of this number, and waits for room in its mailbox and for the answer, together up
    /// to this time.
    ///
    /// # Errors
    ///
    /// [`AskError`]; `Stopped` also for a number that no shard has, or has any more.
    ///
    /// # Cancel safety
    ///
    /// As for [`try_ask`](Self::try_ask).
    pub async fn ask_shard(&self, shard: u32, message: S::Message, timeout: Duration) -> Result<S::Reply, AskError> {
        self.ask_at(Address::Shard(shard), message, timeout).await
    }

    async fn ask_at(&self, address: Address, message: S::Message, timeout: Duration) -> Result<S::Reply, AskError> {
        let deadline = deadline(timeout);
        match self.router.ask_now(address, message).await {
            Ok(handled) => handled,
            Err(message) => self.router.ask(address, message, deadline).await,
        }
    }

    /// Asks all shards, and merges what they answer, in the order of their numbers.
    ///
    /// Each shard answers at a moment of its own. No key is counted twice or left out because the number of shards
    /// changes: that waits until this has its answers, or until the deadline, and this waits for that.
    ///
    /// # Errors
    ///
    /// [`GatherError::Missing`] if shards have not answered by the deadline, be it that they panicked, and `missing`
    /// does not allow that; [`GatherError::Stopped`].
    ///
    /// # Cancel safety
    ///
    /// As for [`try_ask`](Self::try_ask), for each shard.
    pub async fn ask_all<T>(
        &self,
        message: impl Fn(u32) -> S::Message,
        start: T,
        merge: impl FnMut(T, S::Reply) -> T,
        timeout: Duration,
        missing: Missing,
    ) -> Result<Gathered<T>, GatherError> {
        gather::gather(&self.router, message, start, merge, deadline(timeout), missing).await
    }

    /// Has the shard of this number handle a message for whose answer nobody waits: in the task of the caller, if the
    /// shard rests and [can handle it at once](Shard::handle_now), and otherwise by its actor, if the mailbox has room.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message, which has not been accepted; `Stopped` also for a number that no shard has.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message has not been accepted, and is dropped with it.
    pub async fn hand_to_shard(&self, shard: u32, message: S::Message) -> Result<(), SendError<S::Message>> {
        match self.router.ask_now(Address::Shard(shard), message).await {
            // It was accepted, also where it has panicked.
            Ok(_) => Ok(()),
            Err(message) => self.try_send_shard(shard, message),
        }
    }

    /// Sends a message to the shard of this number, if its mailbox has room.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message, which has not been accepted; `Stopped` also for a number that no shard has.
    pub fn try_send_shard(&self, shard: u32, message: S::Message) -> Result<(), SendError<S::Message>> {
        let address = Address::Shard(shard);
        self.router.offer(Envelope { message, reply: None, address, accepted: None }).map_err(refused)
    }

    /// A handle that does not keep the group: for its own shards, who would otherwise keep themselves.
    #[must_use]
    pub fn downgrade(&self) -> WeakGroup<S> {
        WeakGroup { router: Arc::downgrade(&self.router) }
    }

    /// What has been done until now, and how much of the time went where.
    #[must_use]
    pub fn metrics(&self) -> GroupMetrics {
        self.router.metrics()
    }

    /// Accepts nothing more, waits until what was accepted has been handled, and gives the states of the shards, in
    /// the order of their numbers. A group that has been stopped gives none.
    ///
    /// # Cancel safety
    ///
    /// A group whose stop is dropped stops nevertheless; the states are gone.
    pub async fn stop(&self) -> Vec<S> {
        resize::stop(&self.router).await
    }
}

impl<S: Resizable> ActorGroup<S> {
    /// Changes the number of shards, while messages come. About 1/n of the keys move for each of n shards that comes or
    /// goes, with what their shards know about them; messages about them wait at their new shard until it knows that,
    /// and none is lost, doubled or overtaken. Shards whose keys only leave go on at once.
    ///
    /// It takes as long as the messages that are at work, and those that their actors have taken out with them: a
    /// handler must not wait for it.
    ///
    /// # Errors
    ///
    /// [`ResizeError`].
    ///
    /// # Cancel safety
    ///
    /// Once begun, it goes on when its wait is dropped.
    pub async fn resize(&self, shards: u32) -> Result<(), ResizeError> {
        resize::resize(&self.router, shards).await
    }
}

/// A wait that is longer than the clock goes is one of thirty years.
fn deadline(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_hours(24 * 365 * 30))
}

fn refused<S: Shard>(refused: Refused<S>) -> SendError<S::Message> {
    match refused {
        Refused::Full(envelope) => SendError::Full(envelope.message),
        Refused::Closed(envelope) => SendError::Stopped(envelope.message),
    }
}
