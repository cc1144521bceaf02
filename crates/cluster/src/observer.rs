//! What a node sees of the others, and makes its view of.

use super::beat::{Beat, State};
use super::certainty::Certainty;
use super::greeting::{Admission, Admit, Greeter};
use super::known::Known;
use super::metrics::Counts;
use super::peers::{Effect, Peers};
use super::transport::Writes;
use super::{ClusterOptions, NodeId, View};
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval};

/// How many nodes that are not known may be greeted at a time: anybody can write records of any number of names.
const GREETINGS: usize = 256;

/// How many writes are taken in before what they change is published.
const AT_ONCE: usize = 256;

pub(super) struct Observer {
    node: NodeId,
    options: ClusterOptions,
    writes: Writes,
    peers: Peers,
    greeter: Arc<Greeter>,
    admits: mpsc::Receiver<Admit>,
    /// Those who are greeted because a heartbeat of theirs was received.
    greeted: BTreeSet<NodeId>,
    greetings: FuturesUnordered<BoxFuture<'static, NodeId>>,
}

/// What an observer keeps up to date.
pub(super) struct Published {
    pub(super) known: watch::Sender<Arc<Known>>,
    pub(super) view: watch::Sender<Arc<View>>,
    /// How many are being greeted because a heartbeat of theirs was received.
    pub(super) greetings: watch::Sender<usize>,
}

/// The members that a node sees, by name: it is one of them as long as it is live, and where there are no others.
fn members(node: &NodeId, own: State, others: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let mut members: Vec<NodeId> = others.collect();
    if own == State::Live || members.is_empty() {
        members.push(node.clone());
    }
    members.sort();
    members
}

impl Observer {
    /// One that knows nobody yet, and listens to these writes.
    pub(super) fn new(
        node: NodeId,
        options: ClusterOptions,
        writes: Writes,
        greeter: Arc<Greeter>,
        admits: mpsc::Receiver<Admit>,
    ) -> Self {
        let peers = Peers::new(options.dead_after, options.shards.get(), Instant::now());
        let greetings = FuturesUnordered::new();
        Self { node, options, writes, peers, greeter, admits, greeted: BTreeSet::new(), greetings }
    }

    /// Keeps what is published up to date, until the transport fails.
    pub(super) async fn run(
        mut self,
        mut own: watch::Receiver<Beat>,
        certainty: Arc<Certainty>,
        published: Published,
        counts: Arc<Counts>,
    ) {
        let mut ticks = interval(self.options.heartbeat / 5);
        loop {
            let mut admitted = None;
            let effect = tokio::select! {
                biased;
                written = self.writes.next() => match written {
                    Some((node, value)) => self.hear_all(&node, &value),
                    None => return,
                },
                Some(admit) = self.admits.recv() => {
                    let (effect, admission) = self.admit(&admit).await;
                    admitted = Some((admit, admission));
                    effect
                }
                Some(node) = self.greetings.next(), if !self.greetings.is_empty() => {
                    self.greeted.remove(&node);
                    Effect::Nothing
                }
                changed = own.changed() => if changed.is_ok() { Effect::Changed } else { return },
                _ = ticks.tick() => self.bury(&certainty).await,
            };
            published
                .greetings
                .send_if_modified(|old| std::mem::replace(old, self.greeted.len()) != self.greeted.len());
            if effect == Effect::Changed {
                self.publish(own.borrow_and_update().state, &published, &counts);
            }
            // Only now: who was admitted may rely on being known.
            if let Some((admit, admission)) = admitted {
                // Whoever wanted to know may not wait any more.
                let _ = admit.done.send(admission);
            }
        }
    }

    fn publish(&self, own: State, published: &Published, counts: &Counts) {
        let known = self.peers.known();
        published.known.send_if_modified(|old| {
            let changed = **old != known;
            *old = Arc::new(known);
            changed
        });
        let members = members(&self.node, own, self.peers.members());
        // Dividing the shards takes time, and most of what changes is no member.
        if published.view.borrow().members() != members {
            tracing::debug!(node = %self.node, ?members, "the members have changed");
            // Before it can be seen: whoever sees it finds it counted.
            counts.view_changed();
            published.view.send_replace(Arc::new(View::of(members, self.options.shards)));
        }
    }

    /// Takes in what was written, and what else has come since: when many join at once, not each of them is published.
    fn hear_all(&mut self, node: &NodeId, value: &[u8]) -> Effect {
        let mut changed = self.hear(node, value) == Effect::Changed;
        for _ in 0..AT_ONCE {
            let Some(Some((node, value))) = self.writes.next().now_or_never() else { break };
            changed |= self.hear(&node, &value) == Effect::Changed;
        }
        if changed { Effect::Changed } else { Effect::Nothing }
    }

    fn hear(&mut self, node: &NodeId, value: &[u8]) -> Effect {
        let Some(beat) = Beat::decode(node, value).filter(|_| *node != self.node) else { return Effect::Nothing };
        let effect = self.peers.hear(node, beat, Instant::now());
        if effect == Effect::Unknown && beat.state != State::Gone {
            self.greet(node);
        }
        effect
    }

    fn greet(&mut self, node: &NodeId) {
        if self.greeted.len() < GREETINGS && self.greeted.insert(node.clone()) {
            let (greeter, node) = (Arc::clone(&self.greeter), node.clone());
            self.greetings.push(Box::pin(async move {
                let _known_or_absent = greeter.meet(&node).await;
                node
            }));
        }
    }

    /// Takes in a node that has answered or asked just now, if its record is of the same process, and not the one with
    /// which it was found dead. The record is read here, between two writes: what is written after it is received after
    /// it, so a node that has left meanwhile is not taken in for good.
    async fn admit(&mut self, admit: &Admit) -> (Effect, Admission) {
        let greeter = Arc::clone(&self.greeter);
        let record = greeter.read(&admit.node).await.ok().flatten();
        let is_there = |beat: &Beat| {
            let dead = greeter.is_dead(&admit.node, Some((beat.incarnation, beat.count)));
            beat.incarnation == admit.incarnation && beat.state != State::Gone && !dead
        };
        match record.filter(is_there) {
            Some(beat) => {
                let effect = self.peers.admit(&admit.node, beat, Instant::now());
                (effect, Admission::Known { shards: beat.shards })
            }
            None => (Effect::Nothing, Admission::Unsure),
        }
    }

    /// Looks after those that have been silent for too long. Silence can be this node's own: while its own heartbeats
    /// are not acknowledged it takes nobody for dead, and after that it listens anew. Else a NATS server that starts
    /// again, without the records, would make each node believe that it is the only one.
    async fn bury(&mut self, certainty: &Certainty) -> Effect {
        if certainty.age().is_none_or(|age| age > self.options.heartbeat * 2) {
            self.peers.listen_again(Instant::now());
            return Effect::Nothing;
        }
        let silent = self.peers.silent(Instant::now());
        let greeter = Arc::clone(&self.greeter);
        let records = join_all(silent.iter().map(|(node, _)| greeter.read(node))).await;
        let mut effect = Effect::Nothing;
        for ((node, last), record) in silent.iter().zip(records) {
            // Nothing changes if there is no answer: it is this node then that is cut off.
            let Ok(record) = record else { continue };
            match self.peers.settle(node, record, Instant::now()) {
                Effect::Dead => {
                    let silent_for = self.options.dead_after;
                    tracing::warn!(node = %self.node, silent = %node, ?silent_for, "a node is taken for dead");
                    greeter.found_dead(node, Some(*last));
                    effect = Effect::Changed;
                }
                Effect::Changed => effect = Effect::Changed,
                Effect::Nothing | Effect::Unknown => {}
            }
        }
        effect
    }
}
