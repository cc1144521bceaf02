//! How the shards of counters change their owners.

use super::message::Message;
use super::question::{CounterItems, NodeReply, Question};
use super::shard::CounterShard;
use evenfold_cluster::sharding::{Claimed, Handover, Part, Released};
use evenfold_cluster::{Cluster, NodeId};
use evenfold_groups::ActorGroup;
use std::time::Duration;

/// The nodes that have counters, and the shards of this one.
#[derive(Clone)]
pub(super) struct CounterHandover {
    pub(super) cluster: Cluster<Question, NodeReply>,
    pub(super) shards: ActorGroup<CounterShard>,
}

impl CounterHandover {
    async fn put(&self, shard: u32, message: Message) {
        // A group that has ended counts nothing any more.
        let _ended = self.shards.ask_shard(shard, message, Duration::MAX).await;
    }
}

impl Handover for CounterHandover {
    type Items = CounterItems;

    async fn claim(&self, node: &NodeId, shards: Vec<u32>, limit: Duration) -> Option<Vec<Claimed>> {
        match self.cluster.ask(node, Question::Claim { shards }, limit).await {
            Ok(NodeReply::Claimed(answers)) => Some(answers),
            Ok(_) | Err(_) => None,
        }
    }

    async fn release(&self, node: &NodeId, shard: u32, part: Part, limit: Duration) -> Option<Released<CounterItems>> {
        match self.cluster.ask(node, Question::Release { shard, part }, limit).await {
            Ok(NodeReply::Released(released)) => Some(released),
            Ok(_) | Err(_) => None,
        }
    }

    async fn take(&self, shard: u32, counters: CounterItems) {
        self.put(shard, Message::Take(counters)).await;
    }

    async fn begin(&self, shard: u32) {
        self.put(shard, Message::Begin).await;
    }
}
