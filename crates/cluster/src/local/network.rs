//! What connects the nodes of one process, and what gets through.

use crate::transport::Incoming;
use crate::{NodeId, Record};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Requests that may wait for one node, and messages for one subscriber.
pub(super) const QUEUE: usize = 1_024;

/// The most bytes of a frame: as much as with NATS, so that what works here works there.
pub(super) const MAX_FRAME: usize = 1_000_000;

/// What connects the nodes of one process. Clones are cheap, and the same network; two that were made separately are
/// strangers.
#[derive(Debug, Clone, Default)]
pub struct Network {
    state: Arc<Mutex<NetworkState>>,
}

#[derive(Debug, Default)]
pub(super) struct NetworkState {
    pub(super) nodes: HashMap<NodeId, (mpsc::Sender<Incoming>, Wire)>,
    pub(super) topics: HashMap<String, Vec<Subscriber>>,
    pub(super) records: BTreeMap<NodeId, Record>,
    revision: u64,
    pub(super) writes: Vec<(mpsc::Sender<(NodeId, Bytes)>, Wire)>,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) queue: mpsc::Sender<Bytes>,
    pub(super) missed: Arc<AtomicBool>,
    pub(super) wire: Wire,
}

/// What gets through between a node and the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Everything.
    Nothing,
    /// What the node sends, but no answer to it, and no write of others: what it asks for is done, and it never learns
    /// that.
    Answers,
    /// Nothing, in either direction.
    Everything,
}

/// The switch of an endpoint, as the network sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct Wire(Arc<AtomicU8>);

impl Wire {
    pub(super) fn cut(&self, what: Cut) {
        let what = match what {
            Cut::Nothing => 0,
            Cut::Answers => 1,
            Cut::Everything => 2,
        };
        self.0.store(what, Ordering::SeqCst);
    }

    /// Whether what it sends gets out.
    pub(super) fn sends(&self) -> bool {
        self.0.load(Ordering::SeqCst) < 2
    }

    /// Whether what is sent to it gets in.
    pub(super) fn receives(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

impl Network {
    /// Nobody is on it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses all records, as a NATS server does that keeps them in memory and starts again.
    pub fn forget(&self) {
        self.state().records.clear();
    }

    pub(super) fn state(&self) -> MutexGuard<'_, NetworkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, topic: &str, frame: &Bytes) {
        let mut state = self.state();
        let Some(subscribers) = state.topics.get_mut(topic) else { return };
        subscribers.retain(|subscriber| !subscriber.queue.is_closed());
        for subscriber in subscribers.iter() {
            // One that is cut off is notified as well: a connection that is lost is noticed.
            if !subscriber.wire.receives() || subscriber.queue.try_send(frame.clone()).is_err() {
                subscriber.missed.store(true, Ordering::SeqCst);
            }
        }
    }

    /// None where the revision is another one.
    pub(super) fn write(&self, node: &NodeId, expected: u64, value: &Bytes) -> Option<u64> {
        let mut state = self.state();
        if state.records.get(node).map_or(0, |record| record.revision) != expected {
            return None;
        }
        state.revision += 1;
        let revision = state.revision;
        state.records.insert(node.clone(), Record { revision, value: value.clone() });
        state.writes.retain(|(watcher, _)| !watcher.is_closed());
        for (watcher, wire) in &state.writes {
            if wire.receives() {
                // One that is full misses it: writes are hints.
                let _ = watcher.try_send((node.clone(), value.clone()));
            }
        }
        Some(revision)
    }
}
