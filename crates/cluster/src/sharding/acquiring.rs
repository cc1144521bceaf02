//! Taking over the shards that have become this node's.
//!
//! A shard is claimed: all nodes that are known are asked, not only the one that this node believes to have had it,
//! which may not have taken it over itself. Each answers for as long as it owns the shard, claims it or takes it over,
//! that the asker must wait. So of several that claim a shard at most one gets the answers of all, whatever their views
//! are; and it learns who has something of the shard, and takes that over before it owns it.
//!
//! A node that becomes known meanwhile is asked as well. It can't be active before this one has answered its greeting,
//! which is after it has become known.
//!
//! Where a log decides, and a node that lives does not answer, waiting for it would cost more than it saves. What is in
//! memory only would be lost, or changed at two nodes: there it is waited for until it answers or is dead.
//!
//! A node that was silent for so long that others may have taken it for dead begins anew, also if its own view has
//! never changed: what it knows of its shards may be old.

use super::claims::{ClaimQuestion, Claims};
use super::handover::{Claimed, Handover};
use super::ownership::Ownership;
use super::taking::{ANSWER, Taking};
use crate::{Known, Membership, NodeId, Stage, View};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The pause before a node that has not given all that it was asked for is asked again, at first and at last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// The pause before all are greeted again.
const GREETED_AGAIN: Duration = Duration::from_millis(100);

/// What is completed.
enum Completed {
    /// A question to a node, with what it has answered.
    Asked(NodeId, ClaimQuestion, Option<Vec<Claimed>>),
    /// The pause before this node is asked again.
    Paused(NodeId),
    /// A shard was taken over, or what could be of it; since so many lapses.
    Taken { shard: u32, all: bool, lapse: u64 },
    /// All were greeted, or not, since so many lapses.
    Met { all: bool, lapse: u64 },
}

/// What takes over the shards that the views of the cluster make this node's, and drops those that are not any more.
pub struct Acquiring<H> {
    taking: Taking<H>,
    claims: Claims,
    view: Arc<View>,
    /// Whether there is something that the claims do not follow yet.
    stale: bool,
    lapse: u64,
    /// Whether the others know this node for sure.
    met: bool,
    greeting: bool,
    /// The nodes that are asked just now, or not yet again, and the last pause of each.
    asked: BTreeMap<NodeId, Duration>,
    busy: FuturesUnordered<BoxFuture<'static, Completed>>,
}

impl<H: Handover> Acquiring<H> {
    /// Takes shards over into this ownership, which follows this membership from now on: a node joins once.
    ///
    /// Where everything is in a log, a node that lives and does not answer is waited for as long as `patience`, some
    /// seconds, and then taken for one that has nothing. Without patience it is waited for until it answers or is dead:
    /// what it has in memory only would be lost. Then 64 shards at a time are taken over.
    #[must_use]
    pub fn new(ownership: Arc<Ownership>, membership: Membership, handover: H, patience: Option<Duration>) -> Self {
        ownership.join(membership.clone());
        let view = membership.view();
        Self {
            taking: Taking::new(ownership, membership, handover, patience),
            view,
            claims: Claims::default(),
            stale: true,
            lapse: 0,
            met: true,
            greeting: false,
            asked: BTreeMap::new(),
            busy: FuturesUnordered::new(),
        }
    }

    /// Goes on until it is to stop: when the node ends, after it has handed its shards over.
    ///
    /// # Cancel safety
    ///
    /// What is being taken over when the future is dropped, or it stops, may be lost: it can't go on after that.
    pub async fn run(mut self, stop: CancellationToken) {
        let (mut views, mut known, mut lapses) =
            (self.taking.membership.watch(), self.taking.membership.known(), self.taking.membership.lapses());
        if *lapses.borrow() != self.lapse {
            self.begin(&mut lapses);
        }
        self.view = Arc::clone(&views.borrow_and_update());
        let mut before = Arc::clone(&known.borrow());
        loop {
            let nodes = Arc::clone(&known.borrow_and_update());
            if self.is_late(&before, &nodes) {
                self.begin(&mut lapses);
            }
            before = Arc::clone(&nodes);
            if std::mem::take(&mut self.stale) {
                self.follow();
            }
            self.taking.ownership.waiting.retain(|node| nodes.contains(node));
            self.claims.retain(&nodes);
            self.complete(&nodes);
            self.ask(&nodes);
            let next = async {
                tokio::select! {
                    changed = views.changed() => changed.is_ok(),
                    changed = known.changed() => changed.is_ok(),
                    changed = lapses.changed() => {
                        self.begin(&mut lapses);
                        changed.is_ok()
                    }
                    Some(completed) = self.busy.next(), if !self.busy.is_empty() => {
                        self.end(completed);
                        true
                    }
                    // Patience ends without anything else that happens.
                    () = sleep(PAUSES.1), if !self.claims.is_empty() => true,
                }
            };
            if stop.run_until_cancelled(next).await != Some(true) {
                return;
            }
            let view = Arc::clone(&views.borrow_and_update());
            self.stale |= !Arc::ptr_eq(&self.view, &view);
            self.view = view;
        }
    }

    /// Others may have taken this node for dead, and have forgotten it: nothing is its own before all know it again.
    fn begin(&mut self, lapses: &mut watch::Receiver<u64>) {
        self.lapse = *lapses.borrow_and_update();
        self.claims.drop_all();
        self.taking.ownership.disown(self.lapse);
        (self.met, self.stale) = (false, true);
        if !self.greeting {
            self.greet(Duration::ZERO);
        }
    }

    /// Whether somebody has become known who is a member already, while this node owned something. Each may own the
    /// same, as when one has taken the other for dead: what both have is only brought together if it is claimed again.
    fn is_late(&self, before: &Known, now: &Known) -> bool {
        let mut new = now.nodes().filter(|(node, stage)| *stage != Stage::Joining && !before.contains(node));
        self.taking.ownership.owned() > 0 && new.next().is_some()
    }

    fn greet(&mut self, after: Duration) {
        self.greeting = true;
        let (membership, lapse) = (self.taking.membership.clone(), self.lapse);
        self.busy.push(Box::pin(async move {
            sleep(after).await;
            let met = membership.meet_all().await;
            if let Err(error) = &met {
                tracing::warn!(node = %membership.id(), %error, "the others could not be greeted, and will be again");
            }
            Completed::Met { all: met.is_ok(), lapse }
        }));
    }

    /// Drops what is not this node's any more, and claims what is.
    fn follow(&mut self) {
        let own = self.taking.membership.id();
        for shard in (0..).take(self.view.shards()) {
            if self.view.owner(shard) != own {
                self.taking.ownership.lose(shard);
                if self.claims.drop(shard) {
                    self.taking.ownership.abandon(shard);
                }
            } else if self.met && self.taking.ownership.claim(shard) {
                self.claims.begin(shard);
            }
        }
    }

    /// Takes over the shards of which all have answered.
    fn complete(&mut self, known: &Known) {
        for shard in self.claims.complete(known, |claim| self.taking.has_waited(claim.since)) {
            let unanswered = self.claims.unanswered(shard, known);
            if !unanswered.is_empty() {
                tracing::warn!(
                    shard,
                    ?unanswered,
                    "nodes that live have not answered about a shard: it is taken over all the same"
                );
            }
            let from = self.claims.end(shard);
            if self.taking.ownership.take(shard) {
                let (taking, lapse) = (self.taking.clone().take(shard, from), self.lapse);
                self.busy.push(Box::pin(async move { Completed::Taken { shard, all: taking.await, lapse } }));
            }
        }
    }

    /// Asks those that have not answered yet, each at most once at a time.
    fn ask(&mut self, known: &Known) {
        for (node, _) in known.nodes() {
            if self.asked.contains_key(node) {
                continue;
            }
            let Some(asked) = self.claims.to_ask(node) else { continue };
            self.asked.insert(node.clone(), PAUSES.0);
            self.busy.push(Box::pin(question(self.taking.handover.clone(), node.clone(), asked)));
        }
    }

    fn end(&mut self, completed: Completed) {
        match completed {
            Completed::Asked(node, asked, answers) => self.note(node, &asked, &answers.unwrap_or_default()),
            Completed::Paused(node) => self.again(node),
            Completed::Taken { shard, all, lapse } => {
                // The view may have changed meanwhile, or others may have taken this node for dead.
                let own = all
                    && lapse == self.lapse
                    && self.taking.membership.view().owner(shard) == self.taking.membership.id();
                if own {
                    self.taking.ownership.own(shard);
                } else {
                    self.taking.ownership.keep(shard);
                }
                self.stale |= !own;
            }
            Completed::Met { all: true, lapse } if lapse == self.lapse => {
                (self.met, self.greeting, self.stale) = (true, false, true);
            }
            Completed::Met { .. } => self.greet(GREETED_AGAIN),
        }
    }

    fn note(&mut self, node: NodeId, asked: &ClaimQuestion, answers: &[Claimed]) {
        let (all, any) = self.claims.note(&node, asked, answers);
        if all {
            self.taking.ownership.waiting.ends(&node);
            self.asked.remove(&node);
            return;
        }
        self.taking.ownership.waiting.begins(&node);
        let pause = self.asked.get(&node).copied().filter(|_| !any).unwrap_or(PAUSES.0);
        self.asked.insert(node.clone(), (pause * 2).min(PAUSES.1));
        self.busy.push(Box::pin(async move {
            sleep(pause).await;
            Completed::Paused(node)
        }));
    }

    /// Asks a node again after a pause; the next pause is longer.
    fn again(&mut self, node: NodeId) {
        let known = self.taking.membership.known().borrow().contains(&node);
        if let Some(asked) = self.claims.to_ask(&node).filter(|_| known) {
            self.busy.push(Box::pin(question(self.taking.handover.clone(), node, asked)));
        } else {
            self.taking.ownership.waiting.ends(&node);
            self.asked.remove(&node);
        }
    }
}

async fn question<H: Handover>(handover: H, node: NodeId, asked: ClaimQuestion) -> Completed {
    let answers = handover.claim(&node, asked.shards(), ANSWER).await;
    Completed::Asked(node, asked, answers)
}
