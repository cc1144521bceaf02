//! Kinds of actors, which a node may have or not.

use super::counter::{Add, Counter, Read};
use super::nodes::{LONG, counters, join, leave, nodes, ready};
use evenfold_actors::{Actor, ActorsError, Handle, Message, Moves};
use evenfold_cluster::local::Network;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Default, Serialize, Deserialize)]
struct Confused;

/// Of the same name as another one.
#[derive(Serialize, Deserialize)]
struct Sum;

impl Message for Sum {
    type Reply = i64;

    fn name() -> &'static str {
        "Read"
    }
}

impl Actor for Confused {
    type Messages = (Read, Sum);
    type Handover = Moves;
}

impl Handle<Read> for Confused {
    async fn handle(&mut self, _: Read) -> i64 {
        1
    }
}

impl Handle<Sum> for Confused {
    async fn handle(&mut self, _: Sum) -> i64 {
        2
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_has_one_name_on_a_node_and_its_messages_one_each() {
    let nodes = nodes(&Network::new(), 1).await;
    let node = &nodes[0].0;
    let twice = node.actors("counter", |_| Counter::default()).await.unwrap_err();
    assert_eq!(twice, ActorsError::Twice("counter".to_owned()));
    assert_eq!(nodes[0].1.request("a", Add(1), LONG).await, Ok(1), "those that were there before go on");
    let confused = node.actors("confused", |_| Confused).await.unwrap_err();
    assert_eq!(confused, ActorsError::SameName("Read"));
    let named = node.actors("no name", |_| Counter::default()).await.unwrap_err();
    assert_eq!(named, ActorsError::Kind("no name".to_owned()));
    leave(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_should_own_and_has_no_actors_for_waits_until_it_has() {
    let network = Network::new();
    let first = nodes(&network, 1).await;
    for key in 0..50 {
        first[0].1.request(&key.to_string(), Add(1), LONG).await.unwrap();
    }
    let other = join(&network, "other").await;
    ready(&first[0].0, 2).await;
    let mut refused = 0;
    for key in 0..50 {
        if let Err(error) = first[0].1.request(&key.to_string(), Read, Duration::from_millis(30)).await {
            assert!(
                !error.may_have_been_handled() && error.to_string().contains("no actors of this kind yet"),
                "{error}"
            );
            refused += 1;
        }
    }
    assert!((1..50).contains(&refused), "{refused}");
    let counters = counters(&other).await;
    for key in 0..50 {
        assert_eq!(counters.request(&key.to_string(), Read, LONG).await, Ok(1), "nothing is lost by that");
    }
    leave(first).await;
    other.leave().await;
}
