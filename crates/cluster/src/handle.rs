//! A node of a cluster, as its program has it.

use super::beat::State;
use super::error::{Ended, JoinError, NotSent, PeerError};
use super::heart::Name;
use super::membership::Membership;
use super::metrics::ClusterMetrics;
use super::server::Answer;
use super::shared::Shared;
use super::transport::Transport;
use super::{ClusterOptions, NodeId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A node in a cluster: it knows who else is there (see [`Membership`], whose methods it has too), and asks them.
/// Clones are cheap, and the same node.
///
/// When the last clone of it and of its membership is dropped without [`leave`](Self::leave), the others notice after
/// [`dead_after`](ClusterOptions::dead_after), as when the process is killed.
pub struct Cluster<Q, A> {
    membership: Membership,
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
        let cluster = Self { membership: Membership { shared }, types: PhantomData };
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
    /// What this node knows of the cluster, without what its nodes ask each other.
    #[must_use]
    pub fn membership(&self) -> Membership {
        self.membership.clone()
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

impl<Q, A> Deref for Cluster<Q, A> {
    type Target = Membership;

    fn deref(&self) -> &Membership {
        &self.membership
    }
}

impl<Q, A> Clone for Cluster<Q, A> {
    fn clone(&self) -> Self {
        Self { membership: self.membership.clone(), types: PhantomData }
    }
}

impl<Q, A> fmt::Debug for Cluster<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cluster").field(&self.shared.node).finish()
    }
}
