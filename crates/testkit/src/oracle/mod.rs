//! An oracle around counters: clients that increment and read them through everything, and know what they were told; and
//! what must be true of the log and of the nodes afterwards.

mod client;
pub mod connection;
pub mod ledger;
mod proof;

pub use ledger::Ledger;
pub use proof::Proof;

use client::Client;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the clients do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub clients: u64,
    pub counters: u32,
    /// Whether every other request has an Idempotency-Key, with which it is repeated until it is answered.
    pub keys: bool,
    /// Whether nobody may be told anything older than what somebody was told before. Nodes that do not know of each other
    /// can't promise that.
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
struct Shared {
    plan: Plan,
    stop: CancellationToken,
    /// By counter, the newest version that anybody was told: whoever asks after that is told no older one.
    floors: Vec<AtomicI64>,
    answered: AtomicU64,
    /// Increments that have no answer yet.
    pending: AtomicU64,
}

/// Clients at work.
pub struct Load {
    clients: JoinSet<Ledger>,
    shared: Arc<Shared>,
}

impl Load {
    pub fn start(places: &Places, plan: Plan) -> Self {
        let shared = Arc::new(Shared {
            plan,
            stop: CancellationToken::new(),
            floors: (0..plan.counters).map(|_| AtomicI64::new(0)).collect(),
            answered: AtomicU64::new(0),
            pending: AtomicU64::new(0),
        });
        let mut clients = JoinSet::new();
        for client in 0..plan.clients {
            let client = Client::new(Arc::clone(&shared), places.clone(), plan.seed.wrapping_add(client));
            clients.spawn(client.run());
        }
        Self { clients, shared }
    }

    /// How many increments were answered until now.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// How many increments have no answer yet.
    pub fn pending(&self) -> u64 {
        self.shared.pending.load(Ordering::Relaxed)
    }

    /// Increments every counter once, through this node, and fails if they are not all answered in time.
    pub async fn sweep(&self, place: SocketAddr, limit: Duration) -> Ledger {
        let (only, mut clients, started) = (Places::default(), JoinSet::new(), Instant::now());
        only.set(0, place);
        for counter in 0..self.shared.plan.counters {
            let client = Client::new(Arc::clone(&self.shared), only.clone(), fastrand::u64(..));
            clients.spawn(client.once(counter));
        }
        let mut all = Ledger::default();
        let every = async {
            while let Some(one) = clients.join_next().await {
                all.add(one.unwrap());
            }
        };
        let ended = tokio::time::timeout(limit, every).await;
        assert!(ended.is_ok(), "{place} has not answered for {} counters in {limit:?}", clients.len());
        println!("all counters answered after {:?}", started.elapsed());
        all
    }

    /// Lets each finish what it has begun, for this long at most, and gives what all of them were told.
    pub async fn stop(mut self, limit: Duration) -> Ledger {
        self.shared.stop.cancel();
        let mut all = Ledger::default();
        let every = async {
            while let Some(one) = self.clients.join_next().await {
                all.add(one.unwrap());
            }
        };
        let ended = tokio::time::timeout(limit, every).await;
        assert!(ended.is_ok(), "{} increments have no answer in {limit:?}", self.pending());
        all
    }
}

/// What a counter is called.
pub fn name(counter: u32) -> String {
    format!("c{counter}")
}
