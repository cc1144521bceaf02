//! What the clones of a node have in common, and the tasks behind them.

use super::beat::{Beat, State};
use super::certainty::Certainty;
use super::error::{Ended, JoinError};
use super::greeting::Greeter;
use super::heart::{Heart, Name};
use super::known::Known;
use super::metrics::Counts;
use super::observer::{Observer, Published};
use super::queues::Queues;
use super::server::{Acquaintances, Answer, Server};
use super::tasks::Tasks;
use super::transport::{Requests, Transport, Unreachable, Writes};
use super::{ClusterOptions, NodeId, View};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::DropGuard;

/// How many nodes may wait for being taken in by the observer.
const ADMITS: usize = 1_024;

pub(super) struct Shared {
    pub(super) node: NodeId,
    pub(super) options: ClusterOptions,
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) known: watch::Receiver<Arc<Known>>,
    greetings: watch::Receiver<usize>,
    pub(super) certainty: Arc<Certainty>,
    pub(super) greeter: Arc<Greeter>,
    pub(super) wanted: watch::Sender<State>,
    pub(super) shown: watch::Receiver<Beat>,
    pub(super) queues: Arc<Queues>,
    pub(super) counts: Arc<Counts>,
    pub(super) tasks: Tasks,
    _end: DropGuard,
}

impl Shared {
    /// Starts the tasks of a node that has its name. It is not live yet.
    pub(super) fn start<Q, A, H>(
        transport: Arc<dyn Transport>,
        name: Name,
        options: ClusterOptions,
        writes: Writes,
        requests: Requests,
        answer: H,
    ) -> Self
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        H: Answer<Q, A>,
    {
        let (tasks, counts) = (Tasks::new(), Arc::new(Counts::default()));
        let (node, incarnation) = (name.node.clone(), name.beat.incarnation);
        let certainty = Arc::new(Certainty::new(options.certain_for()));
        let (wanted, wants) = watch::channel(State::Joining);
        let (show, shown) = watch::channel(name.beat);
        let (acquaintances, known) = watch::channel(Arc::new(Known::default()));
        let alone = View::of(vec![node.clone()], options.shards);
        let (views, view) = watch::channel(Arc::new(alone));
        let (admit, admits) = mpsc::channel(ADMITS);
        let greeter = Arc::new(Greeter::new(Arc::clone(&transport), node.clone(), incarnation, options, admit));

        let may_ask = Acquaintances { known: known.clone(), greeter: Arc::clone(&greeter), own: shown.clone() };
        let server = Server::new(answer, may_ask, Arc::clone(&counts), options.answering, transport.max_frame());
        tasks.spawn_to_its_end(server.run(requests, tasks.stop.clone(), options.dead_after));
        let heart = Heart { name, options, certainty: Arc::clone(&certainty), wanted: wants, shown: show };
        let (end, ending) = (tasks.clone(), Arc::clone(&certainty));
        tasks.spawn(async move {
            let why = heart.run().await;
            ending.end();
            end.end(why);
        });
        let observer = Observer::new(node.clone(), options, writes, Arc::clone(&greeter), admits);
        let (pending, greetings) = watch::channel(0);
        let published = Published { known: acquaintances, view: views, greetings: pending };
        let observing = observer.run(shown.clone(), Arc::clone(&certainty), published, Arc::clone(&counts));
        let end = tasks.clone();
        tasks.spawn(async move {
            observing.await;
            end.end(Ended::Failed("the transport delivers no heartbeats any more".to_owned()));
        });
        let end = tasks.stop.clone().drop_guard();
        let queues = Queues::new(transport, node.clone(), incarnation, options, Arc::clone(&counts), tasks.clone());
        let queues = Arc::new(queues);
        Self {
            node,
            options,
            view,
            known,
            greetings,
            certainty,
            greeter,
            wanted,
            shown,
            queues,
            counts,
            tasks,
            _end: end,
        }
    }

    /// Announces that the node owns its share, once all know it. It has been listening since then.
    pub(super) async fn become_live(&self, since: Instant) -> Result<(), JoinError> {
        let mut ended = self.tasks.ended();
        let entered = async {
            // Its record was written before this: of two nodes that join at once, at least one sees the other.
            self.greeter.meet_all().await?;
            self.listen(since).await?;
            self.show(State::Live).await;
            let limit = self.options.dead_after;
            let sees_itself = |view: &Arc<View>| view.members().contains(&self.node);
            match self.shown.borrow().state {
                State::Live => {}
                _ => return Err(Unreachable(format!("no heartbeat was acknowledged within {limit:?}")).into()),
            }
            // The observer ends with all other tasks.
            let mut view = self.view.clone();
            let _ended = view.wait_for(sees_itself).await;
            Ok(())
        };
        tokio::select! {
            entered = entered => entered,
            Ok(why) = ended.wait_for(Option::is_some) => Err(match &*why {
                Some(Ended::Superseded(node)) => JoinError::AlreadyRunning(node.clone()),
                why => Unreachable(why.as_ref().map(ToString::to_string).unwrap_or_default()).into(),
            }),
        }
    }

    /// Meets those whose records were lost when all were listed.
    async fn listen(&self, since: Instant) -> Result<(), JoinError> {
        let listens_for = self.greeter.listens_for();
        if listens_for.is_zero() {
            return Ok(());
        }
        sleep_until(since + listens_for).await;
        // The observer ends with all other tasks.
        let mut greetings = self.greetings.clone();
        drop(greetings.wait_for(|greetings| *greetings == 0).await);
        self.greeter.meet_all().await
    }

    pub(super) async fn show(&self, state: State) {
        self.wanted.send_if_modified(|wanted| {
            // A node that is gone does not come back.
            let changes = *wanted != state && *wanted != State::Gone;
            if changes {
                *wanted = state;
            }
            changes
        });
        let mut shown = self.shown.clone();
        let seen = shown.wait_for(|shown| shown.state == state);
        // The heart may have ended, or be cut off: then the others notice that it is silent.
        let _ = timeout(self.options.dead_after, seen).await;
    }
}
