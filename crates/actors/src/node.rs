//! A node of a cluster of actors.

use super::actor::Actor;
use super::actors::Actors;
use super::common::Common;
use super::error::ActorsError;
use super::figures::text;
use super::handing::KindHandover;
use super::inner::Inner;
use super::messages::Messages;
use super::meters::{ActorsMetrics, Meters};
use super::of_kind::KindOf;
use super::options::{ActorsOptions, JoinOptions};
use super::peers::{Answers, Kinds, Peers};
use evenfold_cluster::sharding::{Acquiring, Ownership};
use evenfold_cluster::{ClusterMetrics, JoinError, NodeId, View};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Joining a cluster of actors.
#[derive(Debug)]
pub struct Cluster;

impl Cluster {
    /// Makes this process a node, or one of several that it has, and returns once all others know it. It has no actors
    /// before their kinds are [named](Node::actors).
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the others may see a member that is dead soon.
    pub async fn join(options: JoinOptions) -> Result<Node, JoinError> {
        let JoinOptions { transport, node, cluster } = options;
        let kinds = Arc::new(Kinds::default());
        let answers = Answers(Arc::downgrade(&kinds));
        let joined = evenfold_cluster::Cluster::join(transport, node, cluster, answers).await?;
        let inner = Inner::new(cluster.shards, joined, kinds);
        Ok(Node { inner: Arc::new(inner) })
    }
}

/// A node. Clones are cheap, and the same node; [leave](Self::leave) before the last one is dropped, or the others take
/// it for dead after a while, and its actors are gone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(self.id()).finish()
    }
}

impl Node {
    /// Has this node take part in the actors of a kind: one for each key, made by `make` when it is first asked, on the
    /// node that owns the key's shard. Every node that should own some names the same kind, with the same messages.
    ///
    /// # Errors
    ///
    /// [`ActorsError`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the node takes part or not.
    pub async fn actors<A: Actor>(
        &self,
        kind: &str,
        make: impl Fn(&str) -> A + Send + Sync + 'static,
    ) -> Result<Actors<A>, ActorsError> {
        self.actors_with(kind, ActorsOptions::default(), make).await
    }

    /// The same with other limits than the usual ones.
    ///
    /// # Errors
    ///
    /// [`ActorsError`].
    ///
    /// # Cancel safety
    ///
    /// That of [`actors`](Self::actors).
    pub async fn actors_with<A: Actor>(
        &self,
        kind: &str,
        options: ActorsOptions,
        make: impl Fn(&str) -> A + Send + Sync + 'static,
    ) -> Result<Actors<A>, ActorsError> {
        NodeId::new(kind).map_err(|_| ActorsError::Kind(kind.chars().take(80).collect()))?;
        let names = A::Messages::names();
        let mut known = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !known.insert(**name)) {
            return Err(ActorsError::SameName(twice));
        }
        let Inner { shards, cluster, kinds, background, requests, .. } = &*self.inner;
        if requests.is_closed() {
            return Err(ActorsError::Left);
        }
        let ownership = Arc::new(Ownership::new(shards.get(), false));
        let common = Arc::new(Common {
            kind: kind.into(),
            make: Box::new(make),
            ownership: Arc::clone(&ownership),
            meters: Meters::new(names, shards.get()),
            options,
            shards: *shards,
            each: (options.max_actors / shards.get() as usize).max(1),
            finish: OnceLock::new(),
        });
        let of_kind = KindOf::start(common).await?;
        if !kinds.add(kind, Arc::new(of_kind.clone())) {
            return Err(ActorsError::Twice(kind.to_owned()));
        }
        let peers = Peers(cluster.clone());
        let handover = KindHandover { peers: peers.clone(), kind: of_kind.clone() };
        // What is in memory is waited for without limit, as it would be gone.
        let acquiring = Acquiring::new(ownership, cluster.membership(), handover, None);
        tokio::spawn(acquiring.run(background.clone()));
        Ok(Actors { kind: of_kind, peers, node: Arc::clone(&self.inner) })
    }

    /// What the node is called.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        self.inner.cluster.id()
    }

    /// Who is there and who owns which shard, as the node sees it, and each view that takes its place.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.inner.cluster.watch()
    }

    /// Whether the node has all shards that are its own, of all kinds; or why not, in a sentence.
    ///
    /// # Errors
    ///
    /// The sentence.
    pub fn is_ready(&self) -> Result<(), String> {
        if self.inner.requests.is_closed() {
            return Err("the node is leaving".to_owned());
        }
        self.inner.kinds.all().iter().try_for_each(|kind| kind.ownership().is_ready())
    }

    /// What it has done for each kind, by their names, and what it has sent to others.
    #[must_use]
    pub fn metrics(&self) -> (Vec<ActorsMetrics>, ClusterMetrics) {
        let kinds = self.inner.kinds.all();
        (kinds.iter().map(|kind| kind.metrics()).collect(), self.inner.cluster.metrics())
    }

    /// Waits until the node is a member of its cluster no more, and gives the reason in a sentence: another process has
    /// taken its name, for one. Whoever learns that must stop.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ended(&self) -> String {
        self.inner.cluster.ended().await.to_string()
    }

    /// Accepts no more requests, answers those that it has, hands its actors over to the other nodes, and leaves. It
    /// waits as long as others take actors over, and at most 4 seconds while none does; then a warning in the log names
    /// how many shards it leaves with. [`Stored`](super::Stored) actors that nobody takes over save their states first;
    /// those of the last node that are not stored end with it.
    ///
    /// # Cancel safety
    ///
    /// Call it again: it goes on where it was.
    pub async fn leave(&self) {
        let Inner { cluster, kinds, requests, background, .. } = &*self.inner;
        requests.close();
        requests.wait().await;
        cluster.announce_leaving().await;
        let kinds = kinds.all();
        join_all(kinds.iter().map(|kind| kind.ownership().hand_off())).await;
        // Before others can take this node for gone: they load what is saved by then.
        join_all(kinds.iter().map(|kind| kind.save())).await;
        cluster.leave().await;
        background.cancel();
        for kind in kinds {
            kind.stop().await;
        }
    }
}

/// The figures of these nodes in `OpenMetrics` text, for Prometheus. Every name begins with `evenfold_actors_`, and
/// each has the labels `node` and `kind`.
///
/// # Errors
///
/// Never in practice: they are constants and numbers.
pub fn figures(nodes: &[Node]) -> Result<String, fmt::Error> {
    text(nodes.iter().map(|node| (node.id().to_string(), node.metrics())).collect())
}
