//! How a node runs.

use evenfold::database::Database;
use evenfold_cluster::JoinError;
use evenfold_cluster::transport::Unreachable;
use evenfold_groups::GroupOptionsError;
use evenfold_groups::process::GroupError;
use std::time::Duration;

/// Where counters are kept.
#[derive(Debug, Clone)]
pub enum Storage {
    /// As events in the log of this database: what is answered is committed.
    Durable(Database),
    /// In memory only: what was counted is lost when the node ends, or dies.
    Volatile,
}

/// How a node runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeOptions {
    /// How many shards the counters are divided among, the same in all nodes of a cluster: 1 to
    /// [`MAX_SHARDS`](evenfold_groups::MAX_SHARDS).
    pub shards: u32,
    /// How many counters are in memory at a time, by all shards together; at least one for each. With
    /// [`Storage::Durable`] those that have been idle longest make room, with [`Storage::Volatile`] further ones are
    /// refused.
    pub max_actors: usize,
    /// How many commands may wait for one shard; further ones are refused.
    pub max_waiting: usize,
    /// How long a request may take, in all attempts together.
    pub request_timeout: Duration,
}

impl NodeOptions {
    /// The same with this [`shards`](Self::shards).
    #[must_use]
    pub fn shards(self, shards: u32) -> Self {
        Self { shards, ..self }
    }

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

    /// The same with this [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub fn request_timeout(self, request_timeout: Duration) -> Self {
        Self { request_timeout, ..self }
    }
}

impl Default for NodeOptions {
    /// 64 shards, 100,000 counters in memory, 1,024 commands, 5 seconds.
    fn default() -> Self {
        Self { shards: 64, max_actors: 100_000, max_waiting: 1_024, request_timeout: Duration::from_secs(5) }
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A number is out of its limits.
    #[error(transparent)]
    Options(#[from] GroupOptionsError),
    /// The process groups have no room for the one that receives changes.
    #[error(transparent)]
    Groups(#[from] GroupError),
    /// Other nodes can't be notified of changes.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The cluster can't be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
}
