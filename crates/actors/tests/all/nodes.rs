//! Nodes of one process.

use super::counter::Counter;
use super::support::{SOON, wait_until};
use evenfold_actors::{Actors, Cluster, JoinOptions, Node, NodeId};
use evenfold_cluster::{ClusterOptions, Transport, local};
use evenfold_groups::KeyHash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Times that make a dead node known soon.
pub(crate) fn times() -> ClusterOptions {
    let (heartbeat, dead) = (Duration::from_millis(100), Duration::from_millis(500));
    ClusterOptions::default().heartbeat(heartbeat).dead_after(dead).shards(NonZeroU32::new(16).unwrap())
}

pub(crate) async fn join_through(transport: Arc<dyn Transport>, name: &str) -> Node {
    let options = JoinOptions::new(transport, NodeId::new(name).unwrap()).cluster(times());
    Cluster::join(options).await.unwrap()
}

pub(crate) async fn join(network: &local::Network, name: &str) -> Node {
    join_through(Arc::new(network.endpoint()), name).await
}

pub(crate) async fn counters(node: &Node) -> Actors<Counter> {
    node.actors("counter", |_| Counter::default()).await.unwrap()
}

/// So many nodes, which have all their shards.
pub(crate) async fn nodes(network: &local::Network, count: usize) -> Vec<(Node, Actors<Counter>)> {
    let mut nodes = Vec::new();
    for number in 0..count {
        let node = join(network, &format!("node-{number}")).await;
        let counters = counters(&node).await;
        nodes.push((node, counters));
    }
    for (node, _) in &nodes {
        ready(node, count).await;
    }
    nodes
}

/// Waits until a node sees so many, and has its shards.
pub(crate) async fn ready(node: &Node, count: usize) {
    let is_ready = async || node.views().borrow().members().len() == count && node.is_ready().is_ok();
    wait_until("the nodes have their shards", SOON, is_ready).await;
}

/// The node to which a key belongs, as this one sees it.
pub(crate) fn owner(node: &Node, key: &str) -> String {
    let shard = KeyHash::from(key).shard(times().shards);
    node.views().borrow().owner(shard).to_string()
}

pub(crate) async fn leave(nodes: Vec<(Node, Actors<Counter>)>) {
    futures_util::future::join_all(nodes.iter().map(|(node, _)| node.leave())).await;
}
