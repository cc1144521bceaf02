//! How the shards of a kind change their owners.

use super::actor::Actor;
use super::of_kind::KindOf;
use super::peers::Peers;
use super::shard::ShardMessage;
use super::wire::{MovedActor, NodeReply, What};
use evenfold_cluster::NodeId;
use evenfold_cluster::sharding::{Claimed, Handover, Part, Released};
use std::time::Duration;

/// How the shards of this kind change their owners.
pub(super) struct KindHandover<A: Actor> {
    pub(super) peers: Peers,
    pub(super) kind: KindOf<A>,
}

impl<A: Actor> Clone for KindHandover<A> {
    fn clone(&self) -> Self {
        Self { peers: self.peers.clone(), kind: self.kind.clone() }
    }
}

impl<A: Actor> KindHandover<A> {
    async fn put(&self, shard: u32, message: ShardMessage<A>) {
        // A group that has ended has no actors any more.
        let _ended = self.kind.shards.ask_shard(shard, message, Duration::MAX).await;
    }
}

impl<A: Actor> Handover for KindHandover<A> {
    type Items = Vec<MovedActor>;

    async fn claim(&self, node: &NodeId, shards: Vec<u32>, limit: Duration) -> Option<Vec<Claimed>> {
        match self.peers.ask(node, &self.kind.common.kind, What::Claim { shards }, limit).await {
            Ok(NodeReply::Claimed(answers)) => Some(answers),
            Ok(_) | Err(_) => None,
        }
    }

    async fn release(
        &self,
        node: &NodeId,
        shard: u32,
        part: Part,
        limit: Duration,
    ) -> Option<Released<Vec<MovedActor>>> {
        match self.peers.ask(node, &self.kind.common.kind, What::Release { shard, part }, limit).await {
            Ok(NodeReply::Released(released)) => Some(released),
            Ok(_) | Err(_) => None,
        }
    }

    async fn take(&self, shard: u32, moved: Vec<MovedActor>) {
        self.put(shard, ShardMessage::Take(moved)).await;
    }

    async fn begin(&self, shard: u32) {
        self.put(shard, ShardMessage::Begin).await;
    }
}
