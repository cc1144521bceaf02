//! Nodes that join and leave at random, while clients count at all of them.

use super::{Oracle, id, join, whole};
use evenfold_cluster::local::Network;
use evenfold_counter_service::Node;
use evenfold_testkit::shaky::{FaultPlan, Losses, Shaky};
use fastrand::Rng;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const NODES: usize = 5;
const COUNTERS: usize = 12;
const CLIENTS: u64 = 4;

/// The nodes that are there, with their numbers and transports.
type Present = Arc<Mutex<Vec<(usize, Node, Arc<Shaky>)>>>;

pub struct Schedule {
    random: Rng,
    plan: FaultPlan,
    network: Network,
    shards: u32,
    present: Present,
    /// The numbers of those that are not there, nor about to leave or join.
    absent: Arc<Mutex<Vec<usize>>>,
    moving: JoinSet<()>,
    oracle: Arc<Mutex<Oracle>>,
}

impl Schedule {
    pub fn new(mut random: Rng, plan: FaultPlan) -> Self {
        let shards = random.u32(1..20);
        let absent = Arc::new(Mutex::new((0..NODES).collect()));
        Self {
            random,
            plan,
            network: Network::new(),
            shards,
            present: Arc::default(),
            absent,
            moving: JoinSet::new(),
            oracle: Arc::default(),
        }
    }

    pub async fn run(mut self) -> Oracle {
        let stop = CancellationToken::new();
        self.join_some();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(count(self.random.fork(), Arc::clone(&self.present), Arc::clone(&self.oracle), stop.clone()));
        }
        for _ in 0..self.random.usize(4..12) {
            sleep(Duration::from_millis(self.random.u64(0..1_500))).await;
            match self.random.u8(0..4) {
                0 => self.join_some(),
                1 => self.leave_some(),
                2 => {
                    self.join_some();
                    self.leave_some();
                }
                _ => self.settle().await,
            }
        }
        self.settle().await;
        stop.cancel();
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        self.judge().await;
        std::mem::take(&mut self.oracle.lock().unwrap())
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(if self.random.bool() { 0 } else { self.random.u64(0..300) })
    }

    fn join_some(&mut self) {
        let number = {
            let mut absent = self.absent.lock().unwrap();
            self.random.shuffle(&mut absent);
            let most = absent.len();
            let few = if most == 0 { 0 } else { self.random.usize(1..=most) };
            absent.split_off(most - few)
        };
        for node in number {
            let transport = Arc::new(Shaky::new(&self.network, self.plan, self.random.u64(..)));
            let (delay, shards, present) = (self.delay(), self.shards, Arc::clone(&self.present));
            let oracle = Arc::clone(&self.oracle);
            self.moving.spawn(async move {
                sleep(delay).await;
                let joined = join(transport.clone(), &format!("n{node}"), shards).await;
                present.lock().unwrap().push((node, joined, transport));
                oracle.lock().unwrap().handed_off += 1;
            });
        }
    }

    /// All but one at most.
    fn leave_some(&mut self) {
        let leaving = {
            let mut present = self.present.lock().unwrap();
            self.random.shuffle(&mut present);
            let most = present.len().saturating_sub(1);
            let stay = self.random.usize(present.len() - most..=present.len());
            present.split_off(stay)
        };
        for (number, node, transport) in leaving {
            let (delay, absent, oracle) = (self.delay(), Arc::clone(&self.absent), Arc::clone(&self.oracle));
            self.moving.spawn(async move {
                sleep(delay).await;
                node.stop().await;
                drop(transport);
                absent.lock().unwrap().push(number);
                oracle.lock().unwrap().handed_off += 1;
            });
        }
    }

    /// Waits until nobody joins or leaves.
    async fn settle(&mut self) {
        while let Some(moved) = self.moving.join_next().await {
            moved.unwrap();
        }
        let nodes: Vec<Node> = self.present.lock().unwrap().iter().map(|(_, node, _)| node.clone()).collect();
        whole(&nodes).await;
    }

    /// Reads all counters everywhere, without losses.
    async fn judge(&self) {
        let present: Vec<_> = self.present.lock().unwrap().clone();
        for (_, _, transport) in &present {
            transport.lose(Losses::None);
        }
        for counter in 0..COUNTERS {
            for (_, node, _) in &present {
                let value = node.get(&id(&counter.to_string())).await.unwrap().value;
                self.oracle.lock().unwrap().ends(counter, value);
            }
        }
        for (_, node, _) in present {
            node.stop().await;
        }
    }
}

async fn count(mut random: Rng, nodes: Present, oracle: Arc<Mutex<Oracle>>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        sleep(Duration::from_millis(random.u64(1..40))).await;
        let counter = random.usize(0..COUNTERS);
        let node = {
            let nodes = nodes.lock().unwrap();
            let Some((_, node, _)) = random.choice(nodes.iter()) else { continue };
            node.clone()
        };
        let floor = oracle.lock().unwrap().floor(counter);
        let name = id(&counter.to_string());
        if random.u8(0..3) == 0 {
            let read = node.get(&name).await;
            oracle.lock().unwrap().read(counter, floor, &read);
        } else {
            let answer = node.increment(&name, 1, None).await;
            oracle.lock().unwrap().incremented(counter, floor, &answer);
        }
    }
}
