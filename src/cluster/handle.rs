//! A node of a cluster, as its program has it.

use super::beat::State;
use super::certainty::Certainty;
use super::error::{Ended, JoinError, NotSent, PeerError};
use super::heart::{BeatError, Heart, Name};
use super::metrics::{ClusterMetrics, Counts};
use super::observer::Observer;
use super::queues::Queues;
use super::server::{Answer, Server};
use super::tasks::Tasks;
use super::transport::Transport;
use super::{ClusterOptions, NodeId, View};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::DropGuard;

/// A node in a cluster: it knows who else is there, and asks them. Clones are cheap, and the same node.
///
/// When the last clone is dropped without [`leave`](Self::leave), the others notice after
/// [`dead_after`](ClusterOptions::dead_after), as when the process is killed.
pub struct Cluster<Q, A> {
    shared: Arc<Shared>,
    types: PhantomData<fn(Q) -> A>,
}

struct Shared {
    node: NodeId,
    options: ClusterOptions,
    view: watch::Receiver<Arc<View>>,
    certainty: Arc<Certainty>,
    wanted: watch::Sender<State>,
    shown: watch::Receiver<State>,
    queues: Arc<Queues>,
    counts: Arc<Counts>,
    tasks: Tasks,
    _end: DropGuard,
}

impl<Q, A> Cluster<Q, A>
where
    Q: Serialize + DeserializeOwned + Send + 'static,
    A: Serialize + DeserializeOwned + Send + 'static,
{
    /// Becomes a member, after having listened who else is there, for [`dead_after`](ClusterOptions::dead_after) at most. What
    /// others ask is answered by `answer`, from just before this returns.
    ///
    /// Where a process with this name was killed a moment ago, this waits until the others know that, too:
    /// [`dead_after`](ClusterOptions::dead_after).
    ///
    /// # Errors
    ///
    /// [`JoinError`]: nobody can be reached, the node runs already, the others have another number of shards, or the times
    /// don't fit each other.
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
        let observer = Observer::start(Arc::clone(&transport), node.clone(), options).await?;
        if let Some((node, theirs)) = observer.stranger() {
            return Err(JoinError::OtherShards { node, theirs, ours: options.shards.get() });
        }
        let mut name = Name::take(Arc::clone(&transport), node.clone(), &options).await?;
        // Before the others know of this node, or they would ask for nothing.
        let requests = transport.serve(&node).await?;
        let certainty = Arc::new(Certainty::new(options.certain_for()));
        let sent = Instant::now();
        name.beat(State::Live).await.map_err(|error| match error {
            BeatError::Superseded => JoinError::AlreadyRunning(node.clone()),
            BeatError::Unreachable(error) => error.into(),
        })?;
        certainty.acknowledged(sent);

        let (tasks, counts) = (Tasks::new(), Arc::new(Counts::default()));
        let server = Server::new(answer, Arc::clone(&counts), options.answering, transport.max_frame());
        let stop = tasks.stop.clone();
        tasks.spawn_to_its_end(server.run(requests, stop, options.dead_after));
        let shared = Shared::start(transport, observer, name, certainty, tasks, counts, options);
        Ok(Self { shared: Arc::new(shared), types: PhantomData })
    }

    /// Asks another node, and waits for the answer for this long. A node itself is not asked this way by itself.
    ///
    /// # Errors
    ///
    /// [`PeerError::NotSent`] where the question was certainly not handled, [`PeerError::Unanswered`] where it may have been,
    /// or may be yet.
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

    /// Who is there and who owns what, as far as this node knows. While it is cut off from the others that is what it knew
    /// before.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.view.borrow())
    }

    /// The view, and each that takes its place.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.shared.view.clone()
    }

    /// Whether the others certainly don't take this node for dead: its last acknowledged heartbeat was sent less than
    /// [`dead_after`](ClusterOptions::dead_after) minus one [`heartbeat`](ClusterOptions::heartbeat) ago. No wall clock has a
    /// part in it.
    ///
    /// It says nothing about what happens after the call: a process may be paused at any time. What must not be done
    /// twice is decided elsewhere, in the log.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.shared.certainty.is_certain()
    }

    /// How often it was certain again after it had not been. Others may have taken it for dead in between, without its view
    /// having changed: what it has owned since before may have been another node's for a while.
    ///
    /// Whoever finds it [certain](Self::is_certain) first, and the same number after that, knows that there was no lapse.
    #[must_use]
    pub fn lapses(&self) -> watch::Receiver<u64> {
        self.shared.certainty.lapses()
    }

    /// What it has done since it joined.
    #[must_use]
    pub fn metrics(&self) -> ClusterMetrics {
        self.shared.counts.metrics(self.shared.view.borrow().members().len())
    }

    /// Gives its shards to the others, and goes on answering: their views have changed, or will within a moment. Without
    /// others it keeps them. Waits until the others can know it, for [`dead_after`](ClusterOptions::dead_after) at most.
    ///
    /// # Cancel safety
    ///
    /// The shards are given all the same.
    pub async fn announce_leaving(&self) {
        self.shared.show(State::Leaving).await;
    }

    /// Leaves: answers what it has accepted, for [`dead_after`](ClusterOptions::dead_after) at most, tells the others, and ends
    /// all tasks. They learn it at once if the transport can be reached, and else as if it had been killed.
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

    /// Waits until it is a member no more, and tells why. Whoever learns that another process has taken its name must stop.
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

impl Shared {
    fn start(
        transport: Arc<dyn Transport>,
        observer: Observer,
        name: Name,
        certainty: Arc<Certainty>,
        tasks: Tasks,
        counts: Arc<Counts>,
        options: ClusterOptions,
    ) -> Self {
        let (wanted, wants) = watch::channel(State::Live);
        let (show, shown) = watch::channel(State::Live);
        let (views, view) = watch::channel(Arc::new(observer.view(State::Live)));
        let node = name.node.clone();
        let heart = Heart { name, options, certainty: Arc::clone(&certainty), wanted: wants, shown: show };
        let (end, ending) = (tasks.clone(), Arc::clone(&certainty));
        tasks.spawn(async move {
            let why = heart.run().await;
            ending.end();
            end.end(why);
        });
        let (own, sure, sees) = (shown.clone(), Arc::clone(&certainty), Arc::clone(&counts));
        let end = tasks.clone();
        tasks.spawn(async move {
            observer.run(own, sure, views, sees).await;
            end.end(Ended::Failed("the transport tells no heartbeats any more".to_owned()));
        });
        let end = tasks.stop.clone().drop_guard();
        let queues = Arc::new(Queues::new(transport, node.clone(), options, Arc::clone(&counts), tasks.clone()));
        Self { node, options, view, certainty, wanted, shown, queues, counts, tasks, _end: end }
    }

    async fn show(&self, state: State) {
        self.wanted.send_if_modified(|wanted| {
            // A node that is gone does not come back.
            let changes = *wanted != state && *wanted != State::Gone;
            if changes {
                *wanted = state;
            }
            changes
        });
        let mut shown = self.shown.clone();
        let seen = shown.wait_for(|shown| *shown == state);
        // The heart may have ended, or be cut off: then the others notice that it is silent.
        let _ = timeout(self.options.dead_after, seen).await;
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
