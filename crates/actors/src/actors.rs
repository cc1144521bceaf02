//! The actors of one kind, as the program asks them.

use super::actor::Actor;
use super::call::Local;
use super::common::{Addressed, Common};
use super::error::RequestError;
use super::inner::Inner;
use super::key::{RequestKey, is_key};
use super::kind::Kind as _;
use super::message::{Handle, Message};
use super::messages::Includes;
use super::meters::ActorsMetrics;
use super::of_kind::KindOf;
use super::peers::Peers;
use super::refused::{Attempt, Refused};
use super::wire::{NodeReply, Request, What};
use evenfold_cluster::{NodeId, NotSent, PeerError};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// How long one attempt with another node may take where there can be another one: less than it takes to notice that
/// the node is dead, so that there is time for its successor.
const ATTEMPT: Duration = Duration::from_millis(1_500);

/// How long the answers of a node are waited for that is gone: one that leaves first says so, and then answers what it
/// has accepted.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The pause before a request is tried again: a shard changes its owner in some milliseconds, or when a node is taken
/// for dead.
const PAUSE: Duration = Duration::from_millis(20);

/// The actors of one kind, at whatever node they are. Clones are cheap, and the same.
pub struct Actors<A: Actor> {
    pub(super) kind: KindOf<A>,
    pub(super) peers: Peers,
    pub(super) node: Arc<Inner>,
}

impl<A: Actor> Clone for Actors<A> {
    fn clone(&self) -> Self {
        Self { kind: self.kind.clone(), peers: self.peers.clone(), node: Arc::clone(&self.node) }
    }
}

impl<A: Actor> fmt::Debug for Actors<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Actors").field(&self.kind.common.kind).finish()
    }
}

impl<A: Actor> Actors<A> {
    /// Asks the actor of a key, at whatever node it is, and waits for the reply for so long at most. It is handled at
    /// most once: it is sent again only where it was certainly not handled, as while its shard changes its owner.
    /// Messages of one sender for one key, who awaits each reply, are handled in their order. For the reply of a node
    /// that dies it waits until 2 seconds after that is known.
    ///
    /// # Errors
    ///
    /// [`RequestError`], which says whether it
    /// [may have been handled](RequestError::may_have_been_handled).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message is handled, or will be, or not.
    pub async fn request<M, Place>(&self, key: &str, message: M, limit: Duration) -> Result<M::Reply, RequestError>
    where
        A: Handle<M>,
        A::Messages: Includes<M, Place>,
        M: Message,
    {
        self.send(key, None, message, limit).await
    }

    /// As [`request`](Self::request), and requests with the same key are handled once as long as the actor lives: it
    /// remembers its last [replies](super::ActorsOptions::remembered), and takes them along to another node. So it is
    /// also sent again where it may have been handled. An actor ends with a node that is killed, at a message at which
    /// it panics, and when it makes room for others.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    ///
    /// # Cancel safety
    ///
    /// That of [`request`](Self::request).
    pub async fn request_once<M, Place>(
        &self,
        key: &str,
        once: RequestKey,
        message: M,
        limit: Duration,
    ) -> Result<M::Reply, RequestError>
    where
        A: Handle<M>,
        A::Messages: Includes<M, Place>,
        M: Message,
    {
        self.send(key, Some(once), message, limit).await
    }

    /// What this node has done with these actors until now.
    #[must_use]
    pub fn metrics(&self) -> ActorsMetrics {
        self.kind.metrics()
    }

    async fn send<M, Place>(
        &self,
        key: &str,
        once: Option<RequestKey>,
        message: M,
        limit: Duration,
    ) -> Result<M::Reply, RequestError>
    where
        A: Handle<M>,
        A::Messages: Includes<M, Place>,
        M: Message,
    {
        if !is_key(key) {
            return Err(RequestError::Key(key.len()));
        }
        let _entered = self.node.enter()?;
        let common = &self.kind.common;
        let asked = Asked {
            key: key.into(),
            shard: common.shard_of(key),
            once,
            number: <A::Messages as Includes<M, Place>>::NUMBER,
            // More than the clock has is thirty years.
            deadline: Instant::now() + limit.min(Duration::from_hours(24 * 365 * 30)),
        };
        let (mut message, mut maybe) = (message, None);
        loop {
            let failed;
            (failed, message) = match self.attempt(&asked, message).await {
                Attempt::Ended(Err(error)) => return Err(maybe.unwrap_or(error)),
                Attempt::Ended(reply) => return reply,
                Attempt::Nothing(error, message) => (maybe.clone().unwrap_or(error), message),
                Attempt::Maybe(error, message) if once.is_some() => (maybe.insert(error).clone(), message),
                Attempt::Maybe(error, _) => return Err(error),
            };
            let next = Instant::now() + PAUSE;
            if next >= asked.deadline {
                return Err(failed);
            }
            sleep_until(next).await;
        }
    }

    async fn attempt<M: Message>(&self, asked: &Asked, message: M) -> Attempt<M>
    where
        A: Handle<M>,
    {
        let view = self.peers.0.view();
        let owner = view.owner(asked.shard);
        if owner == self.peers.0.id() {
            self.here(asked, message).await
        } else {
            self.elsewhere(owner, asked, message).await
        }
    }

    async fn here<M: Message>(&self, asked: &Asked, message: M) -> Attempt<M>
    where
        A: Handle<M>,
    {
        self.kind.common.meters.local.add(1);
        let (reply, replied) = oneshot::channel();
        let call = Box::new(Local { number: asked.number, message, reply });
        self.kind.send(asked.shard, Addressed { key: Arc::clone(&asked.key), once: asked.once, call }).await;
        match timeout_at(asked.deadline, replied).await {
            Ok(Ok(Ok(reply))) => Attempt::Ended(Ok(reply)),
            Ok(Ok(Err((why, message)))) => Attempt::refused(why, message),
            // Dropped without a reply: the actor has panicked.
            Ok(Err(_)) => Attempt::Ended(Err(RequestError::Failed)),
            // There is no time for another attempt.
            Err(_) => Attempt::Ended(Err(RequestError::Unanswered("the actor has not replied in time".to_owned()))),
        }
    }

    async fn elsewhere<M: Message>(&self, owner: &NodeId, asked: &Asked, message: M) -> Attempt<M> {
        self.kind.common.meters.remote.add(1);
        let bytes = match postcard::to_stdvec(&message) {
            Ok(bytes) => bytes,
            Err(error) => return Attempt::Ended(Err(RequestError::NotSent(error.to_string()))),
        };
        let key = asked.key.to_string();
        let request = Request { key, name: M::name().to_owned(), message: bytes, once: asked.once };
        let left = asked.deadline.duration_since(Instant::now());
        let limit = if asked.once.is_some() { left.min(ATTEMPT) } else { left };
        let asking = self.peers.ask(owner, &self.kind.common.kind, What::Request(request), limit);
        let Some(replied) = self.while_there(owner, asking).await else {
            let gone = format!("the node {owner} has died");
            return Attempt::Maybe(RequestError::Unanswered(gone), message);
        };
        match replied {
            Ok(NodeReply::Reply(Ok(reply))) => {
                let unreadable = |_| RequestError::ReplyLost("it can't be read here".to_owned());
                Attempt::Ended(postcard::from_bytes(&reply).map_err(unreadable))
            }
            Ok(NodeReply::Reply(Err(why))) => Attempt::refused(why, message),
            Ok(_) => Attempt::refused(Refused::Stopped, message),
            Err(PeerError::NotSent(error @ NotSent::TooLarge { .. })) => {
                Attempt::Ended(Err(RequestError::NotSent(error.to_string())))
            }
            Err(PeerError::NotSent(error)) => Attempt::Nothing(RequestError::Unavailable(error.to_string()), message),
            Err(error @ PeerError::Unanswered { .. }) => {
                Attempt::Maybe(RequestError::Unanswered(error.to_string()), message)
            }
        }
    }

    /// Waits for a node as long as it is known, and for its last answers. None if it is gone without.
    async fn while_there<T>(&self, node: &NodeId, asking: impl Future<Output = T>) -> Option<T> {
        let (mut known, mut asking) = (self.peers.0.known(), pin!(asking));
        tokio::select! {
            biased;
            replied = &mut asking => return Some(replied),
            // It errs only when this node has left.
            _ = known.wait_for(|known| !known.contains(node)) => {}
        }
        timeout(LAST_ANSWERS, asking).await.ok()
    }
}

/// A request, without its message.
struct Asked {
    key: Arc<str>,
    shard: u32,
    once: Option<RequestKey>,
    number: usize,
    deadline: Instant,
}

impl<A: Actor> Common<A> {
    pub(super) fn shard_of(&self, key: &str) -> u32 {
        evenfold_groups::KeyHash::from(key).shard(self.shards)
    }
}
