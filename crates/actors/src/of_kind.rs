//! The actors of one kind on one node.

use super::actor::Actor;
use super::common::{Addressed, Common, Done};
use super::handover::Handover;
use super::kind::Kind;
use super::messages::Messages;
use super::meters::ActorsMetrics;
use super::refused::Refused;
use super::shard::{ActorShard, ShardMessage};
use super::wire::{MovedActor, NodeReply, Request, What};
use evenfold_cluster::sharding::{Ownership, Part, Released};
use evenfold_groups::{ActorGroup, GroupMetrics, GroupOptions, GroupOptionsError, SendError, WeakGroup};
use futures_util::future::{BoxFuture, join_all};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// How long a shard may take to hand a part over: whoever asks has asked again by then.
const RELEASE: Duration = Duration::from_secs(5);

/// How long a node that leaves waits while none of its actors can save its state.
const SAVE_LIMIT: Duration = Duration::from_secs(4);

/// The pause before those are asked again that have not saved their states.
const SAVE_PAUSE: Duration = Duration::from_millis(50);

/// The actors of one kind on one node. Clones are the same.
pub(super) struct KindOf<A: Actor> {
    pub(super) common: Arc<Common<A>>,
    pub(super) shards: ActorGroup<ActorShard<A>>,
}

impl<A: Actor> Clone for KindOf<A> {
    fn clone(&self) -> Self {
        Self { common: Arc::clone(&self.common), shards: self.shards.clone() }
    }
}

impl<A: Actor> KindOf<A> {
    /// Starts the shards.
    pub(super) async fn start(common: Arc<Common<A>>) -> Result<Self, GroupOptionsError> {
        let of_shards = Arc::clone(&common);
        let options = GroupOptions::default().id(common.kind.to_string()).shards(common.shards.get());
        let options = options.mailbox(common.options.max_waiting);
        let shards = ActorGroup::start(options, move |shard| ActorShard::new(shard, Arc::clone(&of_shards))).await?;
        let group = shards.downgrade();
        // Nobody else sets it.
        let _first =
            common.finish.set(Box::new(move |shard, key, done| Box::pin(finish(group.clone(), shard, key, done))));
        Ok(Self { common, shards })
    }

    /// Has a shard of this node take up a message.
    pub(super) async fn send(&self, shard: u32, addressed: Addressed<A>) {
        let refused = match self.shards.hand_to_shard(shard, ShardMessage::Call(addressed)).await {
            Ok(()) => return,
            Err(SendError::Full(message)) => (message, Refused::Busy),
            Err(SendError::Stopped(message)) => (message, Refused::Stopped),
        };
        if let (ShardMessage::Call(addressed), why) = refused {
            self.common.refuse(addressed, why);
        }
    }

    async fn request(&self, request: Request) -> Result<Vec<u8>, Refused> {
        let names = self.common.meters.handling.iter();
        let number = names.map(|(name, _)| *name).position(|name| name == request.name);
        let (reply, replied) = oneshot::channel();
        let number = number.ok_or(Refused::UnknownMessage)?;
        let call = A::Messages::read(number, &request.message, reply).ok_or(Refused::Unreadable)?;
        let shard = self.common.shard_of(&request.key);
        self.send(shard, Addressed { key: request.key.into(), once: request.once, call }).await;
        // Dropped without a reply: the actor has panicked.
        replied.await.unwrap_or(Err(Refused::Failed))
    }

    /// Has all actors save their states, for as long as that gets on.
    async fn save_all(&self) {
        if !A::Handover::PASSIVATES {
            return;
        }
        let (mut fewest, mut since) = (usize::MAX, Instant::now());
        loop {
            let left: usize =
                join_all((0..self.shards.shards()).map(|shard| self.save_shard(shard))).await.iter().sum();
            if left < fewest {
                (fewest, since) = (left, Instant::now());
            }
            if left == 0 {
                return;
            }
            if since.elapsed() >= SAVE_LIMIT {
                tracing::warn!(kind = %self.common.kind, actors = left, "no actor has saved its state for {SAVE_LIMIT:?}, and the node leaves without these");
                return;
            }
            sleep(SAVE_PAUSE).await;
        }
    }

    async fn save_shard(&self, shard: u32) -> usize {
        let (left, saved) = oneshot::channel();
        // A group that has ended has no actors any more.
        let _ended = self.shards.ask_shard(shard, ShardMessage::Save(left), Duration::MAX).await;
        saved.await.unwrap_or_default()
    }

    async fn release(&self, shard: u32, part: Part) -> Option<Released<Vec<MovedActor>>> {
        let (answer, released) = oneshot::channel();
        self.shards.ask_shard(shard, ShardMessage::Release(part, answer), RELEASE).await.ok()?;
        tokio::time::timeout(RELEASE, released).await.ok()?.ok()
    }
}

impl<A: Actor> Kind for KindOf<A> {
    fn answer(&self, what: What) -> BoxFuture<'_, NodeReply> {
        Box::pin(async move {
            match what {
                What::Request(request) => NodeReply::Reply(self.request(request).await),
                What::Claim { shards } => {
                    self.common.ownership.answer_claim(&shards).map_or(NodeReply::Refused, NodeReply::Claimed)
                }
                What::Release { shard, part } => {
                    self.release(shard, part).await.map_or(NodeReply::Refused, NodeReply::Released)
                }
            }
        })
    }

    fn ownership(&self) -> &Arc<Ownership> {
        &self.common.ownership
    }

    fn metrics(&self) -> ActorsMetrics {
        self.common.metrics(self.shards.metrics())
    }

    fn save(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.save_all())
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.shards.stop().await;
        })
    }
}

impl<A: Actor> Common<A> {
    fn metrics(&self, shards: GroupMetrics) -> ActorsMetrics {
        let meters = &self.meters;
        ActorsMetrics {
            kind: self.kind.to_string(),
            handling: meters.handling.iter().map(|(name, handling)| (*name, handling.counts())).collect(),
            actors: meters.all_actors(),
            owned: self.ownership.owned(),
            shards,
            local: meters.local.get(),
            remote: meters.remote.get(),
            refused: meters.refused.get(),
            passivated: meters.passivated.get(),
            panics: meters.panics.get(),
            unsaved: meters.unsaved.get(),
            moved: meters.moved.get(),
            dropped: meters.dropped.get(),
        }
    }
}

async fn finish<A: Actor>(group: WeakGroup<ActorShard<A>>, shard: u32, key: Arc<str>, done: Done<A>) {
    if let Some(group) = group.upgrade() {
        // A group that has ended has no actors any more.
        let _ended = group.ask_shard(shard, ShardMessage::Finished(key, done), Duration::MAX).await;
    }
}
