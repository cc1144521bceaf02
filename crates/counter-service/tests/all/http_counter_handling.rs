//! The figures about the nodes and their shards: how long messages took, what each node owns, and what it has in
//! memory.

use crate::support::{Client, Counting, SOON, TestDb, scalar, wait_until};
use evenfold_cluster::{NodeId, local};
use evenfold_counter_service::http::ServiceOptions;
use evenfold_counter_service::{Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use evenfold_http::Limits;
use std::sync::Arc;

const SHARDS: u32 = 16;

/// Nodes of one cluster, each with its shards.
async fn cluster<const NODES: usize>(storage: Storage) -> Counting {
    let network = local::Network::new();
    let mut nodes = Vec::new();
    for n in 0..NODES {
        let (transport, name) = (Arc::new(network.endpoint()), NodeId::new(&format!("n{n}")).unwrap());
        let options = NodeOptions::default().shards(SHARDS);
        let groups = ProcessGroups::default();
        nodes.push(Node::join(options, storage.clone(), &groups, transport, name).await.unwrap());
    }
    let together = async || {
        let complete = |node: &Node| node.is_ready().is_ok() && node.metrics().members == NODES as u64;
        nodes.iter().all(complete)
    };
    wait_until("all nodes have their shards", SOON, together).await;
    Counting::serving(nodes, ServiceOptions::default(), Limits::default()).await
}

/// The values of the samples with this name, and with this label where one is given.
fn samples(metrics: &str, name: &str, label: &str) -> Vec<f64> {
    let of = |line: &&str| line.split(['{', ' ']).next() == Some(name) && line.contains(label);
    metrics.lines().filter(of).map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

fn sum(metrics: &str, name: &str, label: &str) -> u32 {
    let values = samples(metrics, &format!("evenfold_counter_{name}"), label);
    values.iter().map(|value| format!("{value}").parse::<u32>().unwrap()).sum()
}

/// How many messages of this kind all nodes have handled, as the last bucket and the count have it.
fn handled(metrics: &str, kind: &str) -> u32 {
    let label = format!("message=\"{kind}\"");
    let count = sum(metrics, "message_duration_seconds_count", &label);
    let infinite = metrics.lines().filter(|line| line.contains("le=\"+Inf\"")).collect::<Vec<_>>().join("\n");
    assert_eq!(sum(&infinite, "message_duration_seconds_bucket", &label), count, "{metrics}");
    count
}

async fn figures(served: &Counting) -> String {
    Client::connect(served.figures).await.get("/metrics").await.body
}

/// 60 increments of 20 counters, of which 3 are refused, 25 reads and 2 lists.
async fn ask(served: &Counting) {
    let mut client = served.client().await;
    let amount = format!("{{\"amount\":{}}}", i64::MAX);
    for n in 0..57 {
        assert_eq!(client.post(&format!("/counter/c{}/increment", n % 20), "").await.status, 200);
    }
    for n in 0..3 {
        assert_eq!(client.post(&format!("/counter/c{n}/increment"), amount.as_str()).await.status, 422);
    }
    for n in 0..25 {
        assert_eq!(client.get(&format!("/counter/c{}", n % 20)).await.status, 200);
    }
    for _ in 0..2 {
        assert_eq!(client.get("/counters").await.json()["counters"].as_array().unwrap().len(), 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_that_a_shard_handles_is_in_the_histogram_of_its_kind_once() {
    let db = TestDb::new().await;
    for storage in [Storage::Volatile, Storage::Durable(db.database.clone())] {
        let served = cluster::<3>(storage).await;
        ask(&served).await;
        let metrics = figures(&served).await;
        assert_eq!((handled(&metrics, "increment"), handled(&metrics, "read")), (60, 25), "{metrics}");
        // A list asks every shard of every node, again where the read model was not enough.
        let top = handled(&metrics, "top");
        assert!(top >= 2 * 3 * SHARDS && top.is_multiple_of(3 * SHARDS), "{top}: {metrics}");
        served.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_durable_increment_has_its_commit_in_it() {
    let db = TestDb::new().await;
    let served = cluster::<1>(Storage::Durable(db.database.clone())).await;
    let mut blocker = db.connect().await;
    let mut lock = sqlx::Connection::begin(&mut blocker).await.unwrap();
    sqlx::raw_sql("LOCK TABLE evenfold.events IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let mut client = served.client().await;
    client.begin("POST", "/counter/a/increment", &[], "").await;
    let mut conn = db.connect().await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '50 ms'";
    wait_until("the append to wait", SOON, async || scalar(&mut conn, waits).await > 0).await;
    assert_eq!(handled(&figures(&served).await, "increment"), 0, "it has no answer yet");
    lock.rollback().await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    let metrics = figures(&served).await;
    let took = samples(&metrics, "evenfold_counter_message_duration_seconds_sum", "message=\"increment\"");
    assert!(took.len() == 1 && took[0] >= 0.05, "{took:?}: {metrics}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_and_the_counters_of_the_nodes_are_all_there_are_also_after_one_has_left() {
    let served = cluster::<3>(Storage::Volatile).await;
    ask(&served).await;
    let metrics = figures(&served).await;
    for (name, all) in [("owned_shards", SHARDS), ("counters", 20), ("actors", 20)] {
        assert_eq!(sum(&metrics, name, ""), all, "{name}: {metrics}");
    }
    for node in ["n0", "n1", "n2"] {
        let label = format!("node=\"{node}\"");
        assert!((1..SHARDS).contains(&sum(&metrics, "owned_shards", &label)), "{metrics}");
        assert_eq!(sum(&metrics, "counters", &label), sum(&metrics, "actors", &label), "{metrics}");
    }
    served.nodes[2].stop().await;
    // What it had is with the others, and with it no more.
    wait_until("the others to have its shards", SOON, async || {
        let metrics = figures(&served).await;
        let of = |name, node: &str| sum(&metrics, name, &format!("node=\"{node}\""));
        let left = ["n0", "n1"].map(|node| (of("owned_shards", node), of("counters", node)));
        left[0].0 + left[1].0 == SHARDS && left[0].1 + left[1].1 == 20 && of("counters", "n2") == 0
    })
    .await;
    served.end().await;
}
