//! One node: where requests enter.

use super::command::{Command, CounterValue, What};
use super::error::ServiceError;
use super::handover::CounterHandover;
use super::id::CounterId;
use super::inner::Inner;
use super::key::IdempotencyKey;
use super::meters::{Meter, NodeMetrics};
use super::options::{NodeOptions, StartError, Storage};
use super::peer::Peer;
use super::relay::Relay;
use crate::changes::changes_group;
use evenfold::counters::Changes;
use evenfold_cluster::sharding::Acquiring;
use evenfold_cluster::{Cluster, ClusterOptions, NodeId, Transport, View};
use evenfold_groups::ProcessGroups;
use evenfold_http::Traceparent;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

/// A node that lives and does not answer is not waited for any longer, where the log decides: it may not see this one.
const PATIENCE: Duration = Duration::from_secs(3);

/// A node of the counter service. Clones are the same node.
#[derive(Clone)]
pub struct Node {
    pub(super) inner: Arc<Inner>,
}

impl Node {
    /// Starts a node by itself. Whoever watches a counter is notified through the group of [`changes_group`] in these
    /// groups: give them to the workers of the log too.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    ///
    /// # Cancel safety
    ///
    /// A node whose start is dropped has never been.
    pub async fn start(
        options: NodeOptions,
        storage: Storage,
        groups: &ProcessGroups<Arc<Changes>>,
    ) -> Result<Self, StartError> {
        Ok(Self { inner: Arc::new(Inner::start(options, storage, groups, true).await?) })
    }

    /// Starts a node of a cluster. What is published to the group of [`changes_group`] in these groups, which no other
    /// node of the process must have been given, is passed on to whoever watches, at any node. It returns as soon as
    /// the node is a member; [`is_ready`](Self::is_ready) once it has taken over its shards.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the others may see a member that is dead soon.
    pub async fn join(
        options: NodeOptions,
        storage: Storage,
        groups: &ProcessGroups<Arc<Changes>>,
        transport: Arc<dyn Transport>,
        id: NodeId,
    ) -> Result<Self, StartError> {
        let watchers = ProcessGroups::default();
        let mut inner = Inner::start(options, storage, groups, false).await?;
        let source = std::mem::replace(&mut inner.watchers, changes_group(&watchers)?);
        let begun = Arc::clone(&inner.begun);
        let (relay, watched) = Relay::connect(Arc::clone(&transport), &id, source, watchers, begun).await?;
        let inner = Arc::new(inner);
        let options = ClusterOptions::default().shards(inner.shard_count);
        let cluster = Cluster::join(transport, id, options, Peer(Arc::downgrade(&inner))).await?;
        inner.join(cluster.clone());
        let (ownership, membership) = (Arc::clone(&inner.ownership), cluster.membership());
        let handover = CounterHandover { cluster, shards: inner.shards.clone() };
        let acquiring = Acquiring::new(ownership, membership, handover, inner.log.is_some().then_some(PATIENCE));
        // They end with the node, and run no code but this room's.
        tokio::spawn(acquiring.run(inner.background.clone()));
        tokio::spawn(relay.run(watched, inner.background.clone()));
        Ok(Self { inner })
    }

    /// Adds to a counter, and gives what it stands at by that. With a key, repeating the request changes nothing and
    /// gives the same answer, at any node of the cluster, for ever.
    ///
    /// # Errors
    ///
    /// [`ServiceError`]; nothing was counted, except perhaps after [`ServiceError::TimedOut`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the increment is counted, or will be, or it is not.
    pub async fn increment(
        &self,
        id: &CounterId,
        amount: i64,
        key: Option<IdempotencyKey>,
    ) -> Result<CounterValue, ServiceError> {
        self.increment_caused_by(None, id, amount, key).await
    }

    /// The same, with what has caused it in the event's metadata.
    ///
    /// # Errors
    ///
    /// Those of [`increment`](Self::increment).
    ///
    /// # Cancel safety
    ///
    /// That of [`increment`](Self::increment).
    pub async fn increment_caused_by(
        &self,
        traceparent: Option<Traceparent>,
        id: &CounterId,
        amount: i64,
        key: Option<IdempotencyKey>,
    ) -> Result<CounterValue, ServiceError> {
        let event_id = match (key, &self.inner.log) {
            (Some(_), None) => return Err(ServiceError::KeysNeedTheLog),
            // There is no event.
            (None, None) => Uuid::nil(),
            (Some(key), Some(_)) => key.event_id(),
            (None, Some(_)) => Uuid::now_v7(),
        };
        let what = What::Increment { amount, event_id, again: false, traceparent };
        self.ask(Command { id: id.clone(), what }).await
    }

    /// What a counter stands at: all increments that were answered before are in it. One that nobody has incremented
    /// stands at 0.
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    ///
    /// # Cancel safety
    ///
    /// A read that is dropped changes nothing.
    pub async fn get(&self, id: &CounterId) -> Result<CounterValue, ServiceError> {
        self.ask(Command { id: id.clone(), what: What::Read }).await
    }

    async fn ask(&self, command: Command) -> Result<CounterValue, ServiceError> {
        let _counted = self.enter()?;
        self.inner.ask(command).await
    }

    fn enter(&self) -> Result<tokio_util::task::task_tracker::TaskTrackerToken, ServiceError> {
        let token = self.inner.requests.token();
        if self.inner.requests.is_closed() { Err(ServiceError::Stopped) } else { Ok(token) }
    }

    /// The counters of the highest values, and so many of them: the highest first, and of equal ones the name that
    /// comes first. It is what all nodes have in memory, and for the other counters what the read model has, which is
    /// behind the log by some milliseconds.
    ///
    /// # Errors
    ///
    /// [`ServiceError`]; a list without some of the shards is none.
    ///
    /// # Cancel safety
    ///
    /// A read that is dropped changes nothing.
    pub async fn top(&self, limit: usize) -> Result<Vec<(CounterId, i64)>, ServiceError> {
        let _counted = self.enter()?;
        let deadline = Instant::now() + self.inner.options.request_timeout;
        let top = self.inner.top(limit, deadline).await?;
        Ok(top.into_iter().map(|ranked| (ranked.id.0, ranked.value)).collect())
    }

    /// Whether requests can be answered now; or why not, in a sentence.
    ///
    /// # Errors
    ///
    /// The sentence.
    pub fn is_ready(&self) -> Result<(), String> {
        let Inner { requests, ownership, log, .. } = &*self.inner;
        if requests.is_closed() {
            return Err("the node is stopping".to_owned());
        }
        if let Some(problem) = log.as_ref().and_then(|common| common.log.epochs().problem()) {
            return Err(problem);
        }
        ownership.is_ready()
    }

    /// What it has done until now.
    #[must_use]
    pub fn metrics(&self) -> NodeMetrics {
        let Inner { shards, meters, log, ownership, .. } = &*self.inner;
        let cluster = self.inner.cluster();
        let (sent, handling) = (cluster.map(Cluster::metrics), meters.handling.counts());
        NodeMetrics {
            node: cluster.map(|cluster| cluster.id().as_str().to_owned()).unwrap_or_default(),
            actors: shards.metrics(),
            owned: ownership.owned(),
            counters: meters.counters.iter().map(Meter::get).collect(),
            handled: handling.increment.count + handling.read.count,
            handling,
            passivations: meters.passivated.get(),
            loads: meters.loaded.get(),
            conflicts: meters.conflicts.get(),
            commits: log.as_ref().map(|common| common.log.commits()).unwrap_or_default(),
            forwarded: meters.forwarded.get(),
            coordination: meters.coordination.spent(),
            compute: meters.compute.spent(),
            members: sent.map_or(1, |sent| sent.members),
            batched: sent.map_or(0, |sent| sent.sent),
            batches: sent.map_or(0, |sent| sent.batches),
        }
    }

    /// The cluster as the node sees it, and each view that takes its place; none for a node by itself.
    #[must_use]
    pub fn views(&self) -> Option<watch::Receiver<Arc<View>>> {
        self.inner.cluster().map(|cluster| cluster.watch())
    }

    /// Waits until the node is a member of its cluster no more, and returns why in a sentence: another process has
    /// taken its name, for one. A node by itself never is.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ended(&self) -> String {
        match self.inner.cluster() {
            Some(cluster) => cluster.ended().await.to_string(),
            None => std::future::pending().await,
        }
    }

    /// Accepts nothing more, answers what was accepted, hands its shards over, and leaves.
    ///
    /// # Cancel safety
    ///
    /// Call it again: it goes on where it was.
    pub async fn stop(&self) {
        let inner = &self.inner;
        inner.requests.close();
        inner.requests.wait().await;
        if let Some(cluster) = inner.cluster() {
            cluster.announce_leaving().await;
            inner.ownership.hand_off().await;
            cluster.leave().await;
        }
        inner.background.cancel();
        inner.shards.stop().await;
        if let Some(common) = &inner.log {
            common.log.close().await;
        }
    }
}
