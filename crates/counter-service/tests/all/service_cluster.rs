//! Nodes of the counter service in one process, over the local transport.

use crate::support::{SOON, TestDb, wait_until};
use evenfold::database::Database;
use evenfold_cluster::{NodeId, local};
use evenfold_counter_service::{CounterId, CounterValue, Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use evenfold_testkit::shaky::{FaultPlan, Losses, Shaky};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

fn id(name: &str) -> CounterId {
    CounterId::new(name).unwrap()
}

async fn join(network: &local::Network, name: &str, storage: Storage) -> Node {
    let options = NodeOptions::default().shards(16);
    let (transport, name) = (Arc::new(network.endpoint()), NodeId::new(name).unwrap());
    Node::join(options, storage, &ProcessGroups::default(), transport, name).await.unwrap()
}

async fn ready(nodes: &[Node]) {
    for node in nodes {
        let is_ready = async || node.is_ready().is_ok() && node.metrics().members == nodes.len() as u64;
        wait_until("the node has its shards", SOON, is_ready).await;
    }
}

fn durable(database: &Database) -> Storage {
    Storage::Durable(database.clone())
}

/// Increments from several tasks, at these nodes in turn, until it is stopped. Gives how many were answered, by
/// counter.
fn load(nodes: &[Node], stop: &Arc<AtomicBool>) -> JoinSet<BTreeMap<String, i64>> {
    let mut running = JoinSet::new();
    for task in 0..16 {
        let (nodes, stop) = (nodes.to_vec(), Arc::clone(stop));
        running.spawn(async move {
            let mut counted = BTreeMap::<String, i64>::new();
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("c{}", (task * 31 + n * 7) % 50);
                nodes[n % nodes.len()].increment(&id(&name), 1, None).await.unwrap();
                *counted.entry(name).or_default() += 1;
            }
            counted
        });
    }
    running
}

fn sum(all: Vec<BTreeMap<String, i64>>) -> BTreeMap<String, i64> {
    let mut sum = BTreeMap::new();
    for (name, count) in all.into_iter().flatten() {
        *sum.entry(name).or_default() += count;
    }
    sum
}

async fn assert_counted(node: &Node, counted: &BTreeMap<String, i64>) {
    for (name, count) in counted {
        assert_eq!(node.get(&id(name)).await.map(|counted| counted.value), Ok(*count), "{name}");
    }
    let mut expected: Vec<_> = counted.iter().map(|(name, count)| (*count, name.as_str())).collect();
    expected.sort_by(|(a, x), (b, y)| b.cmp(a).then(x.cmp(y)));
    let top = node.top(10).await.unwrap();
    let top: Vec<_> = top.iter().map(|(id, value)| (*value, id.as_str())).collect();
    assert_eq!(top, expected[..10]);
}

/// Counts while a node joins and another one leaves.
async fn counts_while_members_change(storage: impl Fn() -> Storage) {
    let network = local::Network::new();
    let (a, b) = (join(&network, "a", storage()).await, join(&network, "b", storage()).await);
    ready(&[a.clone(), b.clone()]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let running = load(&[a.clone(), b.clone()], &stop);
    let c = join(&network, "c", storage()).await;
    ready(&[a.clone(), b.clone(), c.clone()]).await;
    let through_all = load(&[a.clone(), b.clone(), c.clone()], &stop);
    wait_until("the new node counts", SOON, async || c.metrics().handled > 1_000).await;
    stop.store(true, Ordering::Relaxed);
    let mut counted = running.join_all().await;
    counted.extend(through_all.join_all().await);
    let stop = Arc::new(AtomicBool::new(false));
    let running = load(&[a.clone(), c.clone()], &stop);
    b.stop().await;
    ready(&[a.clone(), c.clone()]).await;
    let before = a.metrics().handled;
    wait_until("the others count", SOON, async || a.metrics().handled > before + 1_000).await;
    stop.store(true, Ordering::Relaxed);
    counted.extend(running.join_all().await);
    let counted = sum(counted);
    for node in [a, c] {
        assert_counted(&node, &counted).await;
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_nodes_join_and_leave() {
    let db = TestDb::new().await;
    counts_while_members_change(|| durable(&db.database)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_in_memory_are_handed_over_when_nodes_join_and_leave() {
    counts_while_members_change(|| Storage::Volatile).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_by_whichever_node_it_reaches() {
    let network = local::Network::new();
    let nodes = [join(&network, "a", Storage::Volatile).await, join(&network, "b", Storage::Volatile).await];
    ready(&nodes).await;
    for (n, node) in (1..=20).zip(nodes.iter().cycle()) {
        assert_eq!(node.increment(&id("x"), 1, None).await, Ok(CounterValue { value: n, version: n }));
    }
    let forwarded: u64 = nodes.iter().map(|node| node.metrics().forwarded).sum();
    assert_eq!(forwarded, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_at_one_node_are_notified_of_what_another_one_has_counted() {
    let network = local::Network::new();
    let [a, b] = [join(&network, "a", Storage::Volatile).await, join(&network, "b", Storage::Volatile).await];
    ready(&[a.clone(), b.clone()]).await;
    for name in ["x", "y", "z", "u", "v"].map(id) {
        for (watched, counting) in [(&a, &b), (&b, &a)] {
            let before = watched.get(&name).await.unwrap();
            let mut watching = watched.watch(&name).unwrap();
            assert_eq!(watching.next().await, Ok(Some(before)));
            let counted = counting.increment(&name, 1, None).await.unwrap();
            let received = tokio::time::timeout(SOON, watching.next()).await.expect("the watcher is notified");
            assert_eq!(received, Ok(Some(counted)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_log_decides_a_node_that_lives_and_does_not_answer_is_waited_for_for_3_seconds() {
    let (db, network) = (TestDb::new().await, local::Network::new());
    let mute = Arc::new(Shaky::new(&network, FaultPlan::GOOD, 1));
    let [a, b] = [join(&network, "a", durable(&db.database)).await, join(&network, "b", durable(&db.database)).await];
    let options = NodeOptions::default().shards(16);
    let (groups, name) = (ProcessGroups::default(), NodeId::new("c").unwrap());
    let c = Node::join(options, durable(&db.database), &groups, mute.clone(), name).await.unwrap();
    ready(&[a.clone(), b.clone(), c.clone()]).await;
    for n in 0..30 {
        a.increment(&id(&n.to_string()), 1, None).await.unwrap();
    }
    mute.lose(Losses::All);
    drop(b);
    wait_until("it waits for the one that lives", SOON, async || {
        c.is_ready().is_err_and(|why| why.contains("has waited for the answer of node a"))
    })
    .await;
    // Not by an answer: it gets none.
    wait_until("it has taken the shards over", SOON, async || c.is_ready().is_ok()).await;
}
