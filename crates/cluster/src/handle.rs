//! A node of a cluster, as its program has it.

use super::beat::State;
use super::error::{Ended, JoinError, NotSent, PeerError};
use super::heart::Name;
use super::known::Known;
use super::metrics::ClusterMetrics;
use super::server::Answer;
use super::shared::Shared;
use super::transport::Transport;
use super::{ClusterOptions, NodeId, View};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A node in a cluster: it knows who else is there, and asks them. Clones are cheap, and the same node.
///
/// When the last clone is dropped without [`leave`](Self::leave), the others notice after
/// [`dead_after`](ClusterOptions::dead_after), as when the process is killed.
pub struct Cluster<Q, A> {
    shared: Arc<Shared>,
    types: PhantomData<fn(Q) -> A>,
}

impl<Q, A> Cluster<Q, A>
where
    Q: Serialize + DeserializeOwned + Send + 'static,
    A: Serialize + DeserializeOwned + Send + 'static,
{
    /// Becomes a member, after all who are there have answered that they know this node, and this node knows them. One
    /// that does not answer is waited for as long as it shows that it lives, and
    /// [`dead_after`](ClusterOptions::dead_after) longer. What others ask is answered by `answer`, from before this
    /// returns.
    ///
    /// Where the transport may lose records, as NATS does when it starts again, this takes at least
    /// [`dead_after`](ClusterOptions::dead_after): it listens for the heartbeats of those whose records are lost.
    ///
    /// Where a process with this name was killed a moment ago, this waits until the others know that, too:
    /// [`dead_after`](ClusterOptions::dead_after).
    ///
    /// # Errors
    ///
    /// [`JoinError`]: nobody can be reached, the node runs already, the others have another number of shards, or the
    /// times don't fit each other.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the others may see a member that is dead soon.
    pub async fn join(
        transport: Arc<dyn Transport>,
        node: NodeId,
        options: ClusterOptions,
        answer: impl Answer<Q, A>,
    ) -> Result<Self, JoinError> {
        let options = options.check()?;
        // Before anything is written: what others write from now on is received.
        let writes = transport.writes().await?;
        let listening = Instant::now();
        let name = Name::take(Arc::clone(&transport), node.clone(), &options).await?;
        let requests = transport.serve(&node).await?;
        let shared = Arc::new(Shared::start(transport, name, options, writes, requests, answer));
        let cluster = Self { shared, types: PhantomData };
        if let Err(error) = cluster.shared.become_live(listening).await {
            // Nobody needs to wait for it, or to take it for dead.
            cluster.leave().await;
            return Err(error);
        }
        Ok(cluster)
    }

    /// Asks another node, and waits for the answer for this long. A node itself is not asked this way by itself.
    ///
    /// # Errors
    ///
    /// [`PeerError::NotSent`] where the question was certainly not handled, [`PeerError::Unanswered`] where it may have
    /// been, or may be yet.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the question is handled or not.
    pub async fn ask(&self, to: &NodeId, question: Q, limit: Duration) -> Result<A, PeerError> {
        self.shared.counts.requested();
        let encoded = postcard::to_stdvec(&question).map_err(|error| {
            PeerError::NotSent(NotSent::Unreachable(format!("the question can't be encoded: {error}")))
        });
        let answer = match encoded {
            Ok(question) => self.shared.queues.ask(to, question.into(), limit).await,
            Err(error) => Err(error),
        };
        let answer = answer.and_then(|bytes| {
            let unreadable = |_| PeerError::unanswered(to, "its answer can't be read; it may run another version");
            postcard::from_bytes(&bytes).map_err(unreadable)
        });
        if let Err(error) = &answer {
            self.shared.counts.failed(matches!(error, PeerError::NotSent(_)));
        }
        answer
    }
}

impl<Q, A> Cluster<Q, A> {
    /// This node.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.shared.node
    }

    /// Who is there and who owns what, as far as this node knows. While it is cut off from the others that is what it
    /// knew before.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.view.borrow())
    }

    /// The other nodes that this one knows, and each set that takes its place. All who are or have been members know
    /// each other, whatever their views are.
    #[must_use]
    pub fn known(&self) -> watch::Receiver<Arc<Known>> {
        self.shared.known.clone()
    }

    /// Greets all who have records, as when it joined: others may have taken this node for dead, and may have joined
    /// since.
    ///
    /// # Errors
    ///
    /// [`JoinError`] when their records can't be read.
    pub async fn meet_all(&self) -> Result<(), JoinError> {
        self.shared.greeter.meet_all().await
    }

    /// The view, and each that takes its place.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.shared.view.clone()
    }

    /// Whether the others certainly don't take this node for dead: its last acknowledged heartbeat was sent less than
    /// [`dead_after`](ClusterOptions::dead_after) minus one [`heartbeat`](ClusterOptions::heartbeat) ago. No wall clock
    /// has a part in it.
    ///
    /// It says nothing about what happens after the call: a process may be paused at any time. What must not be done
    /// twice is decided elsewhere, in the log.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.shared.certainty.is_certain()
    }

    /// How often it was certain again after it had not been. Others may have taken it for dead in between, without its
    /// view having changed: what it has owned since before may have been another node's for a while.
    ///
    /// Whoever finds it [certain](Self::is_certain) first, and the same number after that, knows that there was no
    /// lapse.
    #[must_use]
    pub fn lapses(&self) -> watch::Receiver<u64> {
        self.shared.certainty.lapses()
    }

    /// What it has done since it joined.
    #[must_use]
    pub fn metrics(&self) -> ClusterMetrics {
        self.shared.counts.metrics(self.shared.view.borrow().members().len())
    }

    /// Gives its shards to the others, and goes on answering: their views have changed, or will within a moment.
    /// Without others it keeps them. Waits until the others can know it, for [`dead_after`](ClusterOptions::dead_after)
    /// at most.
    ///
    /// # Cancel safety
    ///
    /// The shards are given all the same.
    pub async fn announce_leaving(&self) {
        self.shared.show(State::Leaving).await;
    }

    /// Leaves: answers what it has accepted, for [`dead_after`](ClusterOptions::dead_after) at most, notifies the
    /// others, and ends all tasks. They learn it at once if the transport can be reached, and else as if it had been
    /// killed.
    ///
    /// # Cancel safety
    ///
    /// The node is not quite there and not quite gone; call it again.
    pub async fn leave(&self) {
        self.shared.show(State::Gone).await;
        self.shared.tasks.end(Ended::Left);
        self.shared.tasks.wait().await;
        self.shared.certainty.end();
    }

    /// Waits until it is a member no more, and returns why. Whoever learns that another process has taken its name must
    /// stop.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.shared.tasks.ended();
        let why = ended.wait_for(Option::is_some).await.map(|why| why.clone());
        why.ok().flatten().unwrap_or(Ended::Left)
    }
}

impl<Q, A> Clone for Cluster<Q, A> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), types: PhantomData }
    }
}

impl<Q, A> fmt::Debug for Cluster<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cluster").field(&self.shared.node).finish()
    }
}
