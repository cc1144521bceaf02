//! Whom a node knows once it is a member, by the paused clock.

use super::nodes::{Echo, Node, id, join, sees};
use evenfold_cluster::local::Network;
use evenfold_cluster::{Cluster, ClusterOptions, JoinError, Stage, Transport};
use evenfold_testkit::shaky::{FaultPlan, Shaky};
use futures_util::future::join_all;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

async fn join_with_transport(transport: Arc<dyn Transport>, name: &str) -> Result<Node, JoinError> {
    Cluster::join(transport, id(name), ClusterOptions::default(), Echo(id(name))).await
}

fn knows(node: &Node, other: &str) -> bool {
    node.known().borrow().contains(&id(other))
}

#[tokio::test(start_paused = true)]
async fn nodes_that_join_at_once_know_each_other_before_any_is_a_member_although_no_write_is_received() {
    for seed in 0..200 {
        let (network, names) = (Network::new(), ["a", "b", "c", "d", "e"]);
        let plan = FaultPlan { delay: Duration::from_millis(20), lost_writes: 100, ..FaultPlan::GOOD };
        let start = Instant::now();
        let joining = names.into_iter().zip(0..).map(|(name, n)| {
            let transport = Arc::new(Shaky::new(&network, plan, seed * 5 + n));
            async move { (join_with_transport(transport, name).await.unwrap(), Instant::now()) }
        });
        let joined = join_all(joining).await;
        assert!(start.elapsed() < Duration::from_secs(1), "nobody is waited for who is there: {:?}", start.elapsed());
        for (one, name) in names.iter().enumerate() {
            for (other, _) in joined.iter().enumerate().filter(|(other, _)| *other != one) {
                assert!(knows(&joined[other].0, name), "seed {seed}: {} does not know {name}", names[other]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_members_the_one_that_was_first_knows_the_other_when_its_join_returns() {
    for seed in 0..200 {
        let network = Network::new();
        let plan = FaultPlan { delay: Duration::from_millis(20), lost_writes: 100, ..FaultPlan::GOOD };
        let transport = |n: u64| Arc::new(Shaky::new(&network, plan, seed * 2 + n));
        let first = join_with_transport(transport(0), "a").await.unwrap();
        let second = join_with_transport(transport(1), "b").await.unwrap();
        assert!(knows(&first, "b") && knows(&second, "a"), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_joins_is_known_to_be_joining_while_another_one_does_not_answer_it() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    // It has a record, and beats, and nobody serves it.
    let silent = network.endpoint();
    let (b, _) = join(&network, "b").await;
    let frozen = silent.read(&id("b"), Duration::from_secs(1)).await.unwrap().unwrap();
    b.leave().await;
    let gone = silent.read(&id("b"), Duration::from_secs(1)).await.unwrap().unwrap();
    silent.write(&id("b"), gone.revision, frozen.value, Duration::from_secs(1)).await.unwrap();
    let started = Instant::now();
    let joining = tokio::spawn(join_with_transport(Arc::new(network.endpoint()), "c"));
    let mut known = a.known();
    known.wait_for(|known| known.contains(&id("c"))).await.unwrap();
    assert_eq!(known.borrow().nodes().collect::<Vec<_>>(), [(&id("c"), Stage::Joining)]);
    assert_eq!(a.view().members(), [id("a")], "it is no member yet");
    let c = joining.await.unwrap().unwrap();
    assert!(started.elapsed() >= Duration::from_secs(2), "b might have been alive");
    sees(&a, &["a", "c"]).await;
    assert_eq!(c.view(), a.view());
}

#[tokio::test(start_paused = true)]
async fn a_record_of_the_dead_that_is_written_again_makes_nobody_known() {
    let network = Network::new();
    let (a, _) = join(&network, "a").await;
    let (b, _) = join(&network, "b").await;
    let (endpoint, limit) = (network.endpoint(), Duration::from_secs(1));
    let mut recorded = Vec::new();
    for _ in 0..5 {
        recorded.push(endpoint.read(&id("b"), limit).await.unwrap().unwrap().value);
        sleep(Duration::from_millis(500)).await;
    }
    b.leave().await;
    sees(&a, &["a"]).await;
    let changes = a.metrics().view_changes;
    for value in recorded {
        let revision = endpoint.read(&id("b"), limit).await.unwrap().unwrap().revision;
        endpoint.write(&id("b"), revision, value, limit).await.unwrap();
        sleep(Duration::from_millis(500)).await;
        assert!(!knows(&a, "b"));
    }
    assert_eq!(a.metrics().view_changes, changes);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_join_at_once_with_different_numbers_of_shards_not_both_are_members() {
    for seed in 0..50 {
        let network = Network::new();
        let plan = FaultPlan { delay: Duration::from_millis(20), ..FaultPlan::GOOD };
        let join = |name, shards: u32, seed| {
            let options = ClusterOptions::default().shards(NonZeroU32::new(shards).unwrap());
            Cluster::join(Arc::new(Shaky::new(&network, plan, seed)), id(name), options, Echo(id(name)))
        };
        let (a, b): (Result<Node, _>, Result<Node, _>) = tokio::join!(join("a", 64, seed), join("b", 32, seed + 1_000));
        assert!(a.is_err() || b.is_err(), "seed {seed}");
        for error in [a.err(), b.err()].into_iter().flatten() {
            assert!(error.to_string().contains("all nodes of a cluster need the same number"), "{error}");
        }
    }
}
