//! Nodes that join, leave and are killed.

use super::counter::{Add, Counter, Grow, Read};
use super::nodes::{LONG, counters, join, join_through, leave, nodes, owner, ready};
use super::support::{SOON, wait_until};
use evenfold_actors::{Actors, Node, RequestKey};
use evenfold_cluster::local::{Cut, Network};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const KEYS: u64 = 100;

async fn sums(counters: &Actors<Counter>) -> BTreeMap<u64, i64> {
    let read = async |key: u64| (key, counters.request(&key.to_string(), Read, LONG).await.unwrap());
    join_all((0..KEYS).map(read)).await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_nodes_that_join_and_leave_at_once_lose_nothing_and_count_nothing_twice() {
    let network = Network::new();
    let steady = nodes(&network, 1).await;
    let done = Arc::new(AtomicBool::new(false));
    let write = |writer: u64| {
        let (counters, done) = (steady[0].1.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut sent = BTreeMap::<u64, i64>::new();
            while !done.load(Ordering::SeqCst) {
                let key = fastrand::u64(0..KEYS);
                let name = key.to_string();
                if writer.is_multiple_of(2) {
                    counters.request(&name, Add(1), LONG).await.unwrap();
                } else {
                    counters.request_once(&name, RequestKey::random(), Add(1), LONG).await.unwrap();
                }
                *sent.entry(key).or_default() += 1;
            }
            sent
        })
    };
    let writers: Vec<_> = (0..8).map(write).collect();
    let mut members: Vec<(Node, Actors<Counter>)> = Vec::new();
    for round in 0..8 {
        let coming = async |number: usize| {
            let node = join(&network, &format!("guest-{round}-{number}")).await;
            let counters = counters(&node).await;
            (node, counters)
        };
        let going = members.split_off(members.len() - fastrand::usize(0..=members.len()));
        let (came, ()) = tokio::join!(join_all((0..fastrand::usize(1..4)).map(coming)), leave(going));
        members.extend(came);
    }
    leave(members).await;
    done.store(true, Ordering::SeqCst);
    let mut expected = (0..KEYS).map(|key| (key, 0)).collect::<BTreeMap<u64, i64>>();
    for writer in writers {
        for (key, sent) in writer.await.unwrap() {
            *expected.entry(key).or_default() += sent;
        }
    }
    assert_eq!(sums(&steady[0].1).await, expected);
    let metrics = steady[0].1.metrics();
    assert!(metrics.remote > 0 && metrics.moved > 0, "{metrics:?}");
    leave(steady).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_is_handled_once_also_when_its_actor_has_moved() {
    let network = Network::new();
    let first = nodes(&network, 1).await;
    let keys: Vec<_> = (0..KEYS).map(|key| (key.to_string(), RequestKey::from(u128::from(key)))).collect();
    for (key, once) in &keys {
        assert_eq!(first[0].1.request_once(key, *once, Add(5), LONG).await, Ok(5));
        first[0].1.request(key, Add(1), LONG).await.unwrap();
    }
    let other = join(&network, "other").await;
    let counters = counters(&other).await;
    ready(&other, 2).await;
    for (key, once) in &keys {
        assert_eq!(counters.request_once(key, *once, Add(5), LONG).await, Ok(5), "{key}: the same reply");
        assert_eq!(counters.request(key, Read, LONG).await, Ok(6), "{key}: handled once");
    }
    assert!(counters.metrics().actors > 0 && counters.metrics().remote > 0);
    leave(first).await;
    for (key, once) in &keys {
        assert_eq!(counters.request_once(key, *once, Add(5), LONG).await, Ok(5), "{key}: it has all of them now");
    }
    other.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actors_of_a_node_that_dies_are_made_anew_elsewhere_and_the_others_keep_their_states() {
    let network = Network::new();
    let mut nodes = nodes(&network, 2).await;
    let endpoint = network.endpoint();
    let dying = join_through(Arc::new(endpoint.clone()), "dying").await;
    let its = counters(&dying).await;
    for node in nodes.iter().map(|(node, _)| node).chain([&dying]) {
        ready(node, 3).await;
    }
    for key in 0..KEYS {
        nodes[0].1.request(&key.to_string(), Add(1), LONG).await.unwrap();
    }
    let lost = its.metrics().actors;
    assert!((1..KEYS).contains(&lost), "{lost}");
    let own = (0..KEYS).map(|key| key.to_string()).find(|key| owner(&dying, key) == "dying").unwrap();
    endpoint.cut(Cut::Everything);
    let unanswered = nodes[0].1.request(&own, Read, LONG).await.unwrap_err();
    assert!(unanswered.may_have_been_handled() && unanswered.to_string().contains("dying has died"), "{unanswered}");
    for (node, _) in &nodes {
        ready(node, 2).await;
    }
    let left = sums(&nodes[1].1).await;
    assert_eq!(left.values().filter(|sum| **sum == 0).count() as u64, lost);
    // What it handles now would be lost.
    let alone = its.request(&own, Add(1), Duration::from_millis(300)).await;
    assert!(alone.as_ref().is_err_and(|error| !error.may_have_been_handled()), "{alone:?}");
    // When it is back, nothing of what was counted at either place is gone.
    endpoint.cut(Cut::Nothing);
    for node in nodes.iter().map(|(node, _)| node).chain([&dying]) {
        ready(node, 3).await;
    }
    let all = async || sums(&nodes[0].1).await.values().all(|sum| *sum == 1);
    wait_until("what both have counted is merged", SOON, all).await;
    nodes.push((dying, its));
    leave(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_too_large_to_move_stays_where_it_is_and_is_reported() {
    let network = Network::new();
    let first = nodes(&network, 1).await;
    for key in 0..KEYS {
        first[0].1.request(&key.to_string(), Add(1), LONG).await.unwrap();
    }
    // More than 256 KiB, and one of them is to move.
    for key in 0..KEYS {
        first[0].1.request(&format!("large {key}"), Grow(40_000), LONG).await.unwrap();
    }
    let other = join(&network, "other").await;
    let counters = counters(&other).await;
    wait_until("one could not be saved", SOON, async || first[0].1.metrics().unsaved > 0).await;
    let waits = "has waited for the answer of node node-0";
    let reported = async || other.is_ready().is_err_and(|why| why.contains(waits));
    wait_until("who waits for whom is reported", SOON, reported).await;
    let large = (0..KEYS).map(|key| format!("large {key}")).find(|key| owner(&other, key) == "other").unwrap();
    let refused = counters.request(&large, Read, Duration::from_millis(300)).await.unwrap_err();
    assert!(!refused.may_have_been_handled(), "{refused}");
    leave(first).await;
    other.leave().await;
}
