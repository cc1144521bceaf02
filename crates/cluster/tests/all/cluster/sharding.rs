//! How shards change their owners, by the paused clock: here a shard has numbers, which are handed over.

use super::nodes::{LIMIT, id};
use evenfold_cluster::local::Network;
use evenfold_cluster::sharding::{Acquiring, Claimed, Giving, Handover, Ownership, Part, Released};
use evenfold_cluster::{Answer, Cluster, ClusterOptions, NodeId};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const SHARDS: u32 = 64;

/// How many numbers each shard has at first, and how many of them are handed over at once.
const NUMBERS: u32 = 10;
const AT_ONCE: usize = 4;

#[derive(Serialize, Deserialize)]
enum Question {
    Claim(Vec<u32>),
    Release(u32, Part),
}

#[derive(Serialize, Deserialize)]
enum Reply {
    Claimed(Vec<Claimed>),
    Released(Released<Vec<u32>>),
    Nothing,
}

#[derive(Default)]
struct Numbers {
    kept: Vec<u32>,
    giving: Giving<u32>,
}

#[derive(Clone)]
struct Node {
    ownership: Arc<Ownership>,
    shards: Arc<Vec<Mutex<Numbers>>>,
    /// Whether it answers nobody.
    silent: Arc<AtomicBool>,
}

impl Answer<Question, Reply> for Node {
    async fn answer(&self, _from: &NodeId, question: Question) -> Reply {
        match question {
            _ if self.silent.load(Ordering::SeqCst) => Reply::Nothing,
            Question::Claim(shards) => self.ownership.answer_claim(&shards).map_or(Reply::Nothing, Reply::Claimed),
            Question::Release(shard, part) => {
                let mut numbers = self.shards[shard as usize].lock().unwrap();
                let Numbers { kept, giving } = &mut *numbers;
                Reply::Released(giving.release(&self.ownership, shard, part, |back| {
                    kept.extend(back);
                    kept.drain(..AT_ONCE.min(kept.len())).collect()
                }))
            }
        }
    }
}

#[derive(Clone)]
struct NumbersHandover {
    node: Node,
    cluster: Cluster<Question, Reply>,
}

impl Handover for NumbersHandover {
    type Items = Vec<u32>;

    async fn claim(&self, node: &NodeId, shards: Vec<u32>, limit: Duration) -> Option<Vec<Claimed>> {
        match self.cluster.ask(node, Question::Claim(shards), limit).await {
            Ok(Reply::Claimed(claimed)) => Some(claimed),
            _ => None,
        }
    }

    async fn release(&self, node: &NodeId, shard: u32, part: Part, limit: Duration) -> Option<Released<Vec<u32>>> {
        match self.cluster.ask(node, Question::Release(shard, part), limit).await {
            Ok(Reply::Released(released)) => Some(released),
            _ => None,
        }
    }

    async fn take(&self, shard: u32, items: Vec<u32>) {
        self.node.shards[shard as usize].lock().unwrap().kept.extend(items);
    }

    async fn begin(&self, shard: u32) {
        let mut numbers = self.node.shards[shard as usize].lock().unwrap();
        let back = numbers.giving.take_back();
        numbers.kept.extend(back);
    }
}

/// A node that has joined, until it leaves.
struct Joined {
    node: Node,
    cluster: Cluster<Question, Reply>,
    stop: CancellationToken,
}

impl Joined {
    async fn join(network: &Network, name: &str, patience: Option<Duration>) -> Self {
        let node = Node {
            ownership: Arc::new(Ownership::new(SHARDS, false)),
            shards: Arc::new((0..SHARDS).map(|_| Mutex::default()).collect()),
            silent: Arc::default(),
        };
        let endpoint = Arc::new(network.endpoint());
        let cluster = Cluster::join(endpoint, id(name), ClusterOptions::default(), node.clone()).await.unwrap();
        let handover = NumbersHandover { node: node.clone(), cluster: cluster.clone() };
        let acquiring = Acquiring::new(Arc::clone(&node.ownership), cluster.membership(), handover, patience);
        let stop = CancellationToken::new();
        tokio::spawn(acquiring.run(stop.clone()));
        Self { node, cluster, stop }
    }

    async fn is_ready_within(&self, limit: Duration) -> Result<(), String> {
        let until = Instant::now() + limit;
        loop {
            match self.node.ownership.is_ready() {
                Err(_) if Instant::now() < until => sleep(Duration::from_millis(10)).await,
                ready => return ready,
            }
        }
    }

    async fn leave(self) {
        self.cluster.announce_leaving().await;
        self.node.ownership.hand_off().await;
        assert_eq!(self.node.ownership.holdings(), 0, "others have taken all of it");
        self.cluster.leave().await;
        self.stop.cancel();
    }
}

/// Waits until these are all nodes and have their shards; each number is at the owner of its shard then, and nowhere
/// else.
async fn share_all_numbers(nodes: &[&Joined]) {
    for joined in nodes {
        let sees_all =
            async { joined.cluster.watch().wait_for(|view| view.members().len() == nodes.len()).await.is_ok() };
        assert_eq!(tokio::time::timeout(LIMIT, sees_all).await, Ok(true));
        assert_eq!(joined.is_ready_within(LIMIT).await, Ok(()));
    }
    for shard in 0..SHARDS {
        let owners: Vec<_> = nodes.iter().filter(|joined| joined.node.ownership.owns(shard)).collect();
        assert_eq!(owners.len(), 1, "shard {shard}");
        let mut all = owners[0].node.shards[shard as usize].lock().unwrap().kept.clone();
        all.sort_unstable();
        assert_eq!(all, (0..NUMBERS).collect::<Vec<_>>(), "shard {shard}");
    }
    let holdings: usize = nodes.iter().map(|joined| joined.node.ownership.holdings()).sum();
    assert_eq!(holdings, SHARDS as usize, "nobody else has anything");
}

#[tokio::test(start_paused = true)]
async fn shards_are_handed_over_in_parts_when_nodes_join_and_leave_and_nothing_is_lost_or_there_twice() {
    let network = Network::new();
    let a = Joined::join(&network, "a", None).await;
    assert_eq!(a.is_ready_within(LIMIT).await, Ok(()));
    for shard in &*a.node.shards {
        shard.lock().unwrap().kept.extend(0..NUMBERS);
    }
    let (b, c) = tokio::join!(Joined::join(&network, "b", None), Joined::join(&network, "c", None));
    share_all_numbers(&[&a, &b, &c]).await;
    a.leave().await;
    share_all_numbers(&[&b, &c]).await;
    b.leave().await;
    share_all_numbers(&[&c]).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lives_and_does_not_answer_is_waited_for_as_long_as_patience_lasts_and_without_limit_without() {
    for patience in [None, Some(Duration::from_secs(3))] {
        let network = Network::new();
        let a = Joined::join(&network, "a", patience).await;
        assert_eq!(a.is_ready_within(LIMIT).await, Ok(()));
        a.node.silent.store(true, Ordering::SeqCst);
        let b = Joined::join(&network, "b", patience).await;
        let before = b.is_ready_within(Duration::from_millis(2_900)).await.unwrap_err();
        assert!(before.contains("it has 0 of") && before.contains("waited for the answer of node a"), "{before}");
        assert_eq!(b.is_ready_within(LIMIT).await.is_ok(), patience.is_some());
        a.node.silent.store(false, Ordering::SeqCst);
        assert_eq!(b.is_ready_within(LIMIT).await, Ok(()));
    }
}
