//! What the clients do, where, and what they have in common.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the clients do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub clients: u64,
    pub counters: u32,
    /// Whether every other request has an Idempotency-Key, with which it is repeated until it is answered.
    pub keys: bool,
    /// Whether nobody may be answered anything older than what somebody was answered before. Nodes that do not know of
    /// each other can't promise that.
    pub fresh: bool,
    pub seed: u64,
    /// How long a client waits for an answer, before it takes the request for lost.
    pub patience: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        let seed = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("CHAOS_SEED={seed}");
        Self { clients: 12, counters: 40, keys: true, fresh: true, seed, patience: Duration::from_secs(1) }
    }
}

/// Where the nodes are. One that was killed stays in the list until another one has its place.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<Mutex<Vec<SocketAddr>>>);

impl Places {
    pub fn set(&self, node: usize, address: SocketAddr) {
        let mut places = self.0.lock().unwrap();
        if node < places.len() {
            places[node] = address;
        } else {
            assert_eq!(node, places.len());
            places.push(address);
        }
    }

    pub fn all(&self) -> Vec<SocketAddr> {
        self.0.lock().unwrap().clone()
    }
}

/// What the clients of a load have in common.
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) stop: CancellationToken,
    /// By counter, the newest version that anybody was answered: whoever asks after that gets no older one.
    pub(super) floors: Vec<AtomicI64>,
    pub(super) answered: AtomicU64,
    /// Increments that have no answer yet.
    pub(super) pending: AtomicU64,
}

/// What a counter is called.
pub fn name(counter: u32) -> String {
    format!("c{counter}")
}
