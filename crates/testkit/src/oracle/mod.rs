//! An oracle around counters: clients that increment and read them through everything, and know what they were
//! answered; and what must be true of the log and of the nodes afterwards.

mod client;
pub mod connection;
pub mod ledger;
mod plan;
mod proof;

pub use ledger::Ledger;
pub use plan::{Places, Plan, name};
pub use proof::Proof;

use client::OracleClient;
use plan::Shared;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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
            let client = OracleClient::new(Arc::clone(&shared), places.clone(), plan.seed.wrapping_add(client));
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
            let client = OracleClient::new(Arc::clone(&self.shared), only.clone(), fastrand::u64(..));
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

    /// Lets each finish what it has begun, for this long at most, and returns what all of them were answered.
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
