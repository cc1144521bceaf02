//! What goes wrong.

use super::counter::{Add, Counter, Panic, Pass, Read, gate};
use super::nodes::{LONG, join, leave, nodes, ready};
use evenfold_actors::{ActorsOptions, RequestError, RequestKey};
use evenfold_cluster::local::Network;
use futures_util::FutureExt;
use std::pin::pin;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_panics_is_made_anew_and_whoever_asked_knows_that_it_may_have_been_handled() {
    let nodes = nodes(&Network::new(), 2).await;
    for key in 0..20 {
        let key = key.to_string();
        let (one, other) = (&nodes[0].1, &nodes[1].1);
        let key_of_request = RequestKey::random();
        assert_eq!(one.request_once(&key, key_of_request, Add(3), LONG).await, Ok(3));
        let failed = other.request(&key, Panic, LONG).await.unwrap_err();
        assert_eq!(failed, RequestError::Failed);
        assert!(failed.may_have_been_handled());
        // With a key it is not sent again either: the next actor would fail, too.
        assert_eq!(other.request_once(&key, RequestKey::random(), Panic, LONG).await, Err(RequestError::Failed));
        assert_eq!(
            one.request_once(&key, key_of_request, Add(3), LONG).await,
            Ok(3),
            "the actor that has remembered it is gone"
        );
        assert_eq!(one.request(&key, Read, LONG).await, Ok(3));
    }
    assert_eq!(nodes.iter().map(|(_, counters)| counters.metrics().panics).sum::<u64>(), 40);
    leave(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_new_actors_are_refused_and_none_is_forgotten() {
    let node = join(&Network::new(), "a").await;
    let options = ActorsOptions::default().max_actors(16);
    let counters = node.actors_with("counter", options, |_| Counter::default()).await.unwrap();
    ready(&node, 1).await;
    let limit = Duration::from_millis(50);
    let mut kept = Vec::new();
    for key in 0..100 {
        let key = key.to_string();
        match counters.request(&key, Add(1), limit).await {
            Ok(_) => kept.push(key),
            Err(error) => {
                assert_eq!(error, RequestError::Full);
                assert!(!error.may_have_been_handled());
            }
        }
    }
    assert_eq!((kept.len(), counters.metrics().actors), (16, 16));
    for key in kept {
        assert_eq!(counters.request(&key, Add(1), LONG).await, Ok(2));
    }
    node.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_messages_for_one_actor_are_refused() {
    let node = join(&Network::new(), "a").await;
    let options = ActorsOptions::default().max_waiting(4);
    let counters = node.actors_with("counter", options, |_| Counter::default()).await.unwrap();
    ready(&node, 1).await;
    let name = "too many";
    let mut passing = pin!(counters.request("a", Pass(name.to_owned()), LONG));
    assert!((&mut passing).now_or_never().is_none());
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(counters.request("a", Add(1), LONG))).collect();
    assert!(waiting.iter_mut().all(|adding| adding.now_or_never().is_none()));
    assert_eq!(counters.request("a", Add(1), Duration::from_millis(1)).await, Err(RequestError::Busy));
    gate(name).add_permits(1);
    for adding in waiting {
        adding.await.unwrap();
    }
    assert_eq!(counters.request("a", Read, LONG).await, Ok(4));
    assert_eq!(passing.await, Ok(()));
    node.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_replied_to_in_time_may_have_been_handled() {
    let nodes = nodes(&Network::new(), 2).await;
    for (number, (_, counters)) in nodes.iter().enumerate() {
        let name = format!("in time {number}");
        let late = counters.request("a", Pass(name.clone()), Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(late, RequestError::Unanswered(_)) && late.may_have_been_handled(), "{late}");
        gate(&name).add_permits(1);
    }
    leave(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_have_their_limits_and_a_node_that_has_left_says_so() {
    let nodes = nodes(&Network::new(), 1).await;
    let counters = nodes[0].1.clone();
    assert_eq!(counters.request(&"x".repeat(256), Add(1), LONG).await, Ok(1));
    assert_eq!(counters.request("", Add(1), LONG).await, Err(RequestError::Key(0)));
    assert_eq!(counters.request(&"x".repeat(257), Add(1), LONG).await, Err(RequestError::Key(257)));
    leave(nodes).await;
    assert_eq!(counters.request("a", Add(1), LONG).await, Err(RequestError::Left));
}
