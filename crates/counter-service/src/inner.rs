//! What a node consists of.

use super::durable::Durable;
use super::forget;
use super::id::CounterId;
use super::limits::MAX_NAMED;
use super::meters::Meters;
use super::options::{NodeOptions, StartError, Storage};
use super::question::{NodeReply, Question};
use super::shard::{CounterShard, Own};
use super::storage::Log;
use super::volatile::Volatile;
use super::work::Common;
use crate::changes::changes_group;
use evenfold::counter::AmountPointer;
use evenfold::counters::Changes;
use evenfold_cluster::Cluster;
use evenfold_cluster::sharding::Ownership;
use evenfold_groups::KeyHash;
use evenfold_groups::process::Group;
use evenfold_groups::{ActorGroup, GroupOptions, GroupOptionsError, ProcessGroups};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Enough to have every processor at work: each is made by all shards at once.
pub(super) const TOPS: usize = 4;

/// How many names may be in the lists of other nodes that wait here: each takes memory, and 16 of the longest questions
/// are more than is answered in time.
pub(super) const WAITING_NAMES: usize = 16 * MAX_NAMED;

pub(super) struct Inner {
    pub(super) options: NodeOptions,
    /// None where counters are kept in memory only.
    pub(super) log: Option<Arc<Common>>,
    pub(super) shards: ActorGroup<CounterShard>,
    pub(super) ownership: Arc<Ownership>,
    /// None while the node has not joined, and where it is by itself.
    cluster: OnceLock<Cluster<Question, NodeReply>>,
    pub(super) meters: Arc<Meters>,
    pub(super) shard_count: NonZeroU32,
    /// Where those who watch here are notified.
    pub(super) watchers: Group<Arc<Changes>>,
    /// Somebody has begun to watch here.
    pub(super) begun: Arc<Notify>,
    /// The requests that have entered here.
    pub(super) requests: TaskTracker,
    /// How many lists of the highest values are made at the same time: each looks at every counter in memory.
    pub(super) tops: Arc<Semaphore>,
    /// How many counters more other nodes may name in lists that are not made yet.
    pub(super) names: Semaphore,
    /// Ends the background tasks, which run until the node is dropped.
    pub(super) background: CancellationToken,
    _dropped: DropGuard,
}

/// What the shards have in common. Counters that are not in a log are kept in memory only.
type Parts = (Arc<Ownership>, Group<Arc<Changes>>, Arc<Meters>, Option<Arc<Common>>);

async fn start_shards(options: &NodeOptions, parts: Parts) -> Result<ActorGroup<CounterShard>, GroupOptionsError> {
    // The group refuses to have none.
    let each = (options.max_actors / options.shards.max(1) as usize).max(1);
    let own = Own::default();
    let of_shards = Arc::clone(&own);
    let shard = move |shard| match parts.clone() {
        (.., Some(log)) => CounterShard::Durable(Durable::new(shard, each, log), Arc::clone(&of_shards)),
        (own, changes, meters, None) => CounterShard::Volatile(Volatile::new(shard, each, own, changes, meters)),
    };
    let group = GroupOptions::default().id("counters".to_owned()).shards(options.shards).mailbox(options.max_waiting);
    let shards = ActorGroup::start(group, shard).await?;
    // Nobody else sets it.
    let _first = own.set(shards.downgrade());
    Ok(shards)
}

impl Inner {
    /// Starts the shards of a node by itself, or of one that has none of them until it has taken them over.
    pub(super) async fn start(
        options: NodeOptions,
        storage: Storage,
        groups: &ProcessGroups<Arc<Changes>>,
        alone: bool,
    ) -> Result<Self, StartError> {
        let shard_count = NonZeroU32::new(options.shards).ok_or(GroupOptionsError::Shards(0))?;
        let changes = changes_group(groups)?;
        let meters = Arc::new(Meters::new(options.shards));
        let ownership = Arc::new(Ownership::new(options.shards, alone));
        let log = match storage {
            Storage::Volatile => None,
            Storage::Durable(database) => Some(Arc::new(Common {
                log: Log::new(&database, AmountPointer::default()),
                ownership: Arc::clone(&ownership),
                meters: Arc::clone(&meters),
                changes: changes.clone(),
                max_waiting: options.max_waiting,
                request_timeout: options.request_timeout,
            })),
        };
        let parts = (Arc::clone(&ownership), changes.clone(), Arc::clone(&meters), log.clone());
        let shards = start_shards(&options, parts).await?;
        let (requests, background) = (TaskTracker::new(), CancellationToken::new());
        if let Some(common) = &log {
            let epochs = Arc::clone(common.log.epochs());
            tokio::spawn(forget::follow(epochs, shards.clone(), changes.clone(), background.clone()));
        }
        let dropped = background.clone().drop_guard();
        Ok(Self {
            options,
            log,
            shards,
            ownership,
            cluster: OnceLock::new(),
            meters,
            shard_count,
            watchers: changes,
            begun: Arc::default(),
            requests,
            tops: Arc::new(Semaphore::new(TOPS)),
            names: Semaphore::new(WAITING_NAMES),
            background,
            _dropped: dropped,
        })
    }

    /// The node has joined this cluster.
    pub(super) fn join(&self, cluster: Cluster<Question, NodeReply>) {
        // A node joins once.
        let _first = self.cluster.set(cluster);
    }

    pub(super) fn cluster(&self) -> Option<&Cluster<Question, NodeReply>> {
        self.cluster.get()
    }

    /// Which history of the log is behind what is answered from now on: another one, where the node's database may have
    /// lost something.
    pub(super) fn history(&self) -> u64 {
        self.log.as_ref().map_or(0, |common| common.log.epochs().number())
    }

    pub(super) fn shard_of(&self, id: &CounterId) -> u32 {
        KeyHash::from(id.as_str()).shard(self.shard_count)
    }
}
