//! How nodes get to know each other: by a request that is answered only after each knows the other.
//!
//! A node that joins writes its record, and only then lists the records. So of two that join at the same moment at
//! least one sees the other, and greets it. Nobody is active before all whom it saw have answered its greeting; hence
//! all who are active know each other, whatever heartbeats were missed.
//!
//! Where records can be lost, a listing alone does not show everybody who lives: a node that joins listens for
//! heartbeats for as long as a node may be silent, greets those whose heartbeats it has received, and lists the records
//! again.
//!
//! A heartbeat alone makes nobody known: somebody could replay those of the dead. What a node has answered or sent
//! itself, together with its record, does.

use super::beat::{Beat, State};
use super::frame::{Answers, Questions};
use super::transport::{Transport, Unreachable};
use super::{ClusterOptions, JoinError, NodeId};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// The pause before a node that has not answered is greeted again.
const PAUSE: Duration = Duration::from_millis(25);

/// How often it is logged that a node does not answer.
const LOGGED: Duration = Duration::from_secs(5);

/// A request to the observer, to take a node in: it has answered just now, or asked.
#[derive(Debug)]
pub(super) struct Admit {
    pub(super) node: NodeId,
    pub(super) incarnation: u64,
    pub(super) done: oneshot::Sender<Admission>,
}

/// What the observer makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is known from now on. It has this number of shards.
    Known { shards: u32 },
    /// Its record can't be read, or is not of this incarnation: it is to be asked for again.
    Unsure,
}

/// What has become of a greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// Each knows the other.
    Known { shards: u32 },
    /// It is gone, or dead.
    Absent,
}

/// Greets others in the name of this node.
#[derive(Debug)]
pub(super) struct Greeter {
    transport: Arc<dyn Transport>,
    node: NodeId,
    incarnation: u64,
    options: ClusterOptions,
    observer: mpsc::Sender<Admit>,
    /// The incarnations and counts of those that were found dead: as long as their records say nothing else, nobody
    /// needs to wait for them again.
    dead: Mutex<HashMap<NodeId, (u64, u64)>>,
}

impl Greeter {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        node: NodeId,
        incarnation: u64,
        options: ClusterOptions,
        observer: mpsc::Sender<Admit>,
    ) -> Self {
        Self { transport, node, incarnation, options, observer, dead: Mutex::default() }
    }

    /// Has the observer take in a node that has just sent something.
    pub(super) async fn admit(&self, node: &NodeId, incarnation: u64) -> Admission {
        let (done, admitted) = oneshot::channel();
        let admit = Admit { node: node.clone(), incarnation, done };
        // An observer that has ended takes in nobody.
        if self.observer.send(admit).await.is_err() {
            return Admission::Unsure;
        }
        admitted.await.unwrap_or(Admission::Unsure)
    }

    /// Greets all that have records, until each has answered, or is gone or dead.
    pub(super) async fn meet_all(&self) -> Result<(), JoinError> {
        let nodes = self.transport.nodes(self.options.dead_after).await?;
        let others: Vec<NodeId> = nodes.into_iter().filter(|node| *node != self.node).collect();
        let met = join_all(others.iter().map(|node| self.meet(node))).await;
        let ours = self.options.shards.get();
        for (node, met) in others.into_iter().zip(met) {
            match met {
                Met::Known { shards: theirs } if theirs != ours => {
                    return Err(JoinError::OtherShards { node, theirs, ours });
                }
                Met::Known { .. } | Met::Absent => {}
            }
        }
        Ok(())
    }

    /// How long a node that joins listens for the heartbeats of those who have lost their records: whoever is silent
    /// for longer is dead for everybody else as well.
    pub(super) fn listens_for(&self) -> Duration {
        if self.transport.may_lose_records() { self.options.dead_after } else { Duration::ZERO }
    }

    /// Greets a node until it has answered, or is gone or dead.
    pub(super) async fn meet(&self, node: &NodeId) -> Met {
        let started = Instant::now();
        let (mut seen, mut since, mut logged) = (None, started, started);
        loop {
            match self.read(node).await {
                Ok(Some(beat)) if beat.state == State::Gone => return Met::Absent,
                Ok(Some(beat)) if seen != Some((beat.incarnation, beat.count)) => {
                    (seen, since) = (Some((beat.incarnation, beat.count)), Instant::now());
                }
                Ok(_) => {}
                // It is this node that is cut off.
                Err(_) => since = Instant::now(),
            }
            // One that answers and does not beat receives nothing of what it asks for: it would be known, and dead
            // again, for as long as that lasts.
            if self.is_dead(node, seen) {
                return Met::Absent;
            }
            if let Some(beat) = self.greet(node).await {
                since = Instant::now();
                if let Admission::Known { shards } = self.admit(node, beat.incarnation).await {
                    return Met::Known { shards };
                }
            } else if since.elapsed() >= self.options.dead_after {
                self.found_dead(node, seen);
                return Met::Absent;
            }
            if logged.elapsed() >= LOGGED {
                logged = Instant::now();
                let waited = started.elapsed();
                tracing::warn!(node = %self.node, waiting_for = %node, ?waited, "a node that lives has not answered a greeting");
            }
            sleep(PAUSE).await;
        }
    }

    /// What the record of a node says; none if there is none, or it can't be read.
    pub(super) async fn read(&self, node: &NodeId) -> Result<Option<Beat>, Unreachable> {
        let record = self.transport.read(node, self.options.heartbeat).await?;
        Ok(record.and_then(|record| Beat::of(node, &record)))
    }

    /// The heartbeat of a node that knows this one now.
    async fn greet(&self, node: &NodeId) -> Option<Beat> {
        let limit = self.options.heartbeat;
        let greeting = Questions { from: self.node.clone(), incarnation: self.incarnation, limit, all: Vec::new() };
        let answer = self.transport.request(node, greeting.encode(), limit).await.ok()?;
        match Answers::decode(answer)? {
            Answers::Greeting(beat) if beat.state != State::Gone => Some(beat),
            _ => None,
        }
    }

    /// Whether nothing has come from this node since it was found dead with this incarnation and count.
    pub(super) fn is_dead(&self, node: &NodeId, seen: Option<(u64, u64)>) -> bool {
        seen.is_some() && self.dead().get(node).copied() == seen
    }

    /// Nothing new has come from this node for so long that it is dead.
    pub(super) fn found_dead(&self, node: &NodeId, seen: Option<(u64, u64)>) {
        if let Some(seen) = seen {
            self.dead().insert(node.clone(), seen);
        }
    }

    fn dead(&self) -> MutexGuard<'_, HashMap<NodeId, (u64, u64)>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
