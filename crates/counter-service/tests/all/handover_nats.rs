//! Counters in memory only, over a NATS server that loses what it knows of the nodes while one joins.

use crate::support::{NatsServer, SOON, wait_until};
use evenfold_cluster::NodeId;
use evenfold_cluster::nats::Nats;
use evenfold_counter_service::{CounterId, Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use std::sync::Arc;

const COUNTERS: usize = 40;

async fn join(server: &NatsServer, name: &str) -> Node {
    let nats = Nats::connect(&server.url(), NodeId::new("c").unwrap()).await.unwrap();
    let name = NodeId::new(name).unwrap();
    let groups = ProcessGroups::default();
    Node::join(NodeOptions::default(), Storage::Volatile, &groups, Arc::new(nats), name).await.unwrap()
}

async fn ready(node: &Node, members: u64) {
    let ready = async || node.is_ready().is_ok() && node.metrics().members == members;
    wait_until("the node has its shards", 3 * SOON, ready).await;
}

async fn counts(node: &Node, expected: i64) {
    for n in 0..COUNTERS {
        let counted = node.increment(&CounterId::new(&format!("c{n}")).unwrap(), 1, None).await.unwrap();
        assert_eq!(counted.value, expected, "c{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_when_nats_has_lost_all_records_waits_for_those_who_live() {
    let mut server = NatsServer::start();
    let (a, b) = (join(&server, "a").await, join(&server, "b").await);
    ready(&a, 2).await;
    ready(&b, 2).await;
    counts(&a, 1).await;
    server.kill();
    server.restart();
    let c = join(&server, "c").await;
    ready(&c, 3).await;
    counts(&c, 2).await;
    counts(&b, 3).await;
    for node in [c, b] {
        node.stop().await;
    }
    ready(&a, 1).await;
    counts(&a, 4).await;
    a.stop().await;
}
