//! How a node takes part, and how its actors of one kind run.

use evenfold_cluster::local::Network;
use evenfold_cluster::{ClusterOptions, NodeId, Transport};
use std::num::NonZeroU32;
use std::sync::Arc;

/// How a node takes part in a cluster.
#[derive(Clone)]
#[non_exhaustive]
pub struct JoinOptions {
    /// What connects the nodes: [`Nats`](evenfold_cluster::nats), or the network of one process.
    pub transport: Arc<dyn Transport>,
    /// What the node is called.
    pub node: NodeId,
    /// Times, limits, and the number of shards: 64 by default, and the same in all nodes.
    pub cluster: ClusterOptions,
}

impl JoinOptions {
    /// A node that takes part through this transport.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, node: NodeId) -> Self {
        Self { transport, node, cluster: ClusterOptions::default() }
    }

    /// A node in the network of one process.
    #[must_use]
    pub fn local(network: &Network, node: NodeId) -> Self {
        Self::new(Arc::new(network.endpoint()), node)
    }

    /// The same with so many shards.
    #[must_use]
    pub fn shards(self, shards: NonZeroU32) -> Self {
        Self { cluster: self.cluster.shards(shards), ..self }
    }

    /// The same with these times and limits.
    #[must_use]
    pub fn cluster(self, cluster: ClusterOptions) -> Self {
        Self { cluster, ..self }
    }
}

/// How a node's actors of one kind run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorsOptions {
    /// How many actors are in memory at a time, by all shards of the node together; at least one for each. Those that
    /// are [`Stored`](super::Stored) and have been idle longest make room, and others are refused.
    pub max_actors: usize,
    /// How many messages may wait for one shard, and for one actor; further ones are refused.
    pub max_waiting: usize,
    /// Of how many requests with a key an actor remembers the reply: of the last ones.
    pub remembered: usize,
}

impl ActorsOptions {
    /// The same with this [`max_actors`](Self::max_actors).
    #[must_use]
    pub fn max_actors(self, max_actors: usize) -> Self {
        Self { max_actors, ..self }
    }

    /// The same with this [`max_waiting`](Self::max_waiting).
    #[must_use]
    pub fn max_waiting(self, max_waiting: usize) -> Self {
        Self { max_waiting, ..self }
    }

    /// The same with this [`remembered`](Self::remembered).
    #[must_use]
    pub fn remembered(self, remembered: usize) -> Self {
        Self { remembered, ..self }
    }
}

impl Default for ActorsOptions {
    /// 100,000 actors, 1,024 messages, 128 replies.
    fn default() -> Self {
        Self { max_actors: 100_000, max_waiting: 1_024, remembered: 128 }
    }
}
