//! What a node sees of the others, and makes its view of.

use super::beat::{Beat, State};
use super::certainty::Certainty;
use super::metrics::Counts;
use super::peers::{Effect, Peers};
use super::transport::{Transport, Unreachable, Writes};
use super::{ClusterOptions, NodeId, View};
use futures_util::StreamExt;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout_at};

#[derive(Debug)]
pub(super) struct Observer {
    transport: Arc<dyn Transport>,
    node: NodeId,
    options: ClusterOptions,
    writes: Listening,
    peers: Peers,
}

struct Listening(Writes);

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listening")
    }
}

impl Observer {
    /// Listens, and learns who is there: of those that have records, those whose hearts beat. Records of the dead stay for
    /// a while, and nobody knows how old they are.
    pub(super) async fn start(
        transport: Arc<dyn Transport>,
        node: NodeId,
        options: ClusterOptions,
    ) -> Result<Self, Unreachable> {
        let writes = Listening(transport.writes().await?);
        let peers = Peers::new(options.dead_after, options.shards.get(), Instant::now());
        let mut observer = Self { transport, node, options, writes, peers };
        let mut expected: BTreeSet<NodeId> = BTreeSet::new();
        let limit = options.dead_after;
        for node in observer.transport.nodes(limit).await?.into_iter().filter(|node| *node != observer.node) {
            let record = observer.transport.read(&node, limit).await?;
            if record.and_then(|record| Beat::of(&node, &record)).is_some_and(|beat| beat.state != State::Gone) {
                expected.insert(node);
            }
        }
        // One that is silent may be paused, and certain yet of what it owns: it is not dead before it would be for the others.
        let until = Instant::now() + options.dead_after;
        while !expected.is_empty()
            && let Ok(Some((node, value))) = timeout_at(until, observer.writes.0.next()).await
        {
            expected.remove(&node);
            observer.hear(&node, &value).await;
        }
        Ok(observer)
    }

    pub(super) fn stranger(&self) -> Option<(NodeId, u32)> {
        self.peers.stranger()
    }

    /// With this node as a member, or not, if it is not the only one.
    pub(super) fn view(&self, own: State) -> View {
        let mut others = self.peers.members().peekable();
        match others.next_if(|_| own != State::Live) {
            Some(first) => View::new(first, others, self.options.shards),
            None => View::new(self.node.clone(), others, self.options.shards),
        }
    }

    /// Keeps the view up to date, until the transport gives up.
    pub(super) async fn run(
        mut self,
        mut own: watch::Receiver<State>,
        certainty: Arc<Certainty>,
        view: watch::Sender<Arc<View>>,
        counts: Arc<Counts>,
    ) {
        // Some of the time that it takes to join, nobody listened.
        self.peers.listen_again(Instant::now());
        let mut ticks = interval(self.options.heartbeat / 5);
        loop {
            let effect = tokio::select! {
                biased;
                written = self.writes.0.next() => match written {
                    Some((node, value)) => self.hear(&node, &value).await,
                    None => return,
                },
                changed = own.changed() => if changed.is_ok() { Effect::Members } else { return },
                _ = ticks.tick() => self.bury(&certainty).await,
            };
            if effect == Effect::Members {
                let new = self.view(*own.borrow());
                let changed = view.send_if_modified(|old| {
                    let changed = **old != new;
                    *old = Arc::new(new);
                    changed
                });
                if changed {
                    counts.view_changed();
                    tracing::info!(node = %self.node, members = ?view.borrow().members(), "the members have changed");
                }
            }
        }
    }

    async fn hear(&mut self, node: &NodeId, value: &[u8]) -> Effect {
        let Some(beat) = Beat::decode(node, value).filter(|_| *node != self.node) else { return Effect::Nothing };
        match self.peers.hear(node, beat, Instant::now()) {
            Effect::Doubt => self.look(node).await,
            effect => effect,
        }
    }

    /// Asks what the node's record says. Nothing changes if there is no answer: it is this node then that is cut off.
    async fn look(&mut self, node: &NodeId) -> Effect {
        let record = self.transport.read(node, self.options.heartbeat).await;
        self.settle(node, record)
    }

    fn settle(&mut self, node: &NodeId, record: Result<Option<super::Record>, Unreachable>) -> Effect {
        let Ok(record) = record else { return Effect::Nothing };
        let beat = record.and_then(|record| Beat::of(node, &record));
        self.peers.settle(node, beat, Instant::now())
    }

    /// Looks after those that have been silent for too long. Silence can be this node's own: while its own heartbeats are
    /// not acknowledged it takes nobody for dead, and after that it listens anew. Else a NATS server that starts again, without
    /// the records, would make each node believe that it is the only one.
    async fn bury(&mut self, certainty: &Certainty) -> Effect {
        if certainty.age().is_none_or(|age| age > self.options.heartbeat * 2) {
            self.peers.listen_again(Instant::now());
            return Effect::Nothing;
        }
        let silent = self.peers.silent(Instant::now());
        let records = join_all(silent.iter().map(|node| self.transport.read(node, self.options.heartbeat))).await;
        let mut effect = Effect::Nothing;
        for (node, record) in silent.iter().zip(records) {
            if self.settle(node, record) == Effect::Members {
                effect = Effect::Members;
            }
        }
        effect
    }
}
