//! Nodes over a real NATS server, as in several processes.

use super::counter::{Add, Counter, Next, Panic, Read};
use super::nodes::{LONG, counters, join_through, leave, ready};
use super::support::NatsServer;
use evenfold_actors::{Actors, Node, NodeId, RequestError, RequestKey};
use evenfold_cluster::nats::Nats;
use futures_util::future::join_all;
use std::sync::Arc;

async fn node(server: &NatsServer, name: &str) -> (Node, Actors<Counter>) {
    let transport = Nats::connect(&server.url(), NodeId::new("actors").unwrap()).await.unwrap();
    let node = join_through(Arc::new(transport), name).await;
    let counters = counters(&node).await;
    (node, counters)
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_are_asked_and_move_between_processes_as_within_one() {
    let server = NatsServer::start();
    let mut nodes = join_all(["a", "b", "c"].map(|name| node(&server, name))).await;
    for (node, _) in &nodes {
        ready(node, 3).await;
    }
    let send = |sender: u64| {
        let counters = nodes[usize::try_from(sender).unwrap() % 2].1.clone();
        tokio::spawn(async move {
            for number in 1..=200 {
                for key in 0..10 {
                    let next = Next { sender, number };
                    assert_eq!(counters.request(&key.to_string(), next, LONG).await, Ok(true), "{key} {number}");
                }
            }
        })
    };
    let senders: Vec<_> = (0..4).map(send).collect();
    // Meanwhile one leaves and two come.
    let leaving = nodes.pop().unwrap();
    leave(vec![leaving]).await;
    nodes.extend(join_all(["d", "e"].map(|name| node(&server, name))).await);
    for sender in senders {
        sender.await.unwrap();
    }
    let once = RequestKey::random();
    for (_, counters) in &nodes {
        for key in 0..10 {
            assert_eq!(counters.request(&key.to_string(), Read, LONG).await, Ok(800), "{key}");
        }
        assert_eq!(counters.request_once("once", once, Add(5), LONG).await, Ok(5));
        assert_eq!(counters.request("panics", Panic, LONG).await, Err(RequestError::Failed));
    }
    leave(nodes).await;
}
