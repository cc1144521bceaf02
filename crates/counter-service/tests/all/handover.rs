//! Counters that are kept in memory only, while nodes join and leave in any order and at the same time: by the paused
//! clock, over a transport that is slow and loses answers.

mod oracle;
mod schedule;

use crate::support::{SOON, wait_until};
use evenfold_cluster::local::{Cut, Network};
use evenfold_cluster::{NodeId, Transport};
use evenfold_counter_service::{CounterId, CounterValue, Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use evenfold_testkit::shaky::{FaultPlan, Losses, Shaky};
use futures_util::future::join_all;
use oracle::Oracle;
use schedule::Schedule;
use std::sync::Arc;
use std::time::Duration;

fn id(name: &str) -> CounterId {
    CounterId::new(name).unwrap()
}

async fn join(transport: Arc<dyn Transport>, name: &str, shards: u32) -> Node {
    let options = NodeOptions::default().shards(shards);
    let name = NodeId::new(name).unwrap();
    Node::join(options, Storage::Volatile, &ProcessGroups::default(), transport, name).await.unwrap()
}

/// Waits until all nodes see each other, and have their shards.
async fn whole(nodes: &[Node]) {
    for node in nodes {
        let sees = async || node.is_ready().is_ok() && node.metrics().members == nodes.len() as u64;
        wait_until("the node has its shards", 3 * SOON, sees).await;
    }
}

/// Schedules with these seeds, or with the one of `HANDOVER_SEED`, of a network like that.
async fn survives(seeds: std::ops::Range<u64>, plan: impl Fn(&mut fastrand::Rng) -> FaultPlan) -> Oracle {
    let only: Option<u64> = std::env::var("HANDOVER_SEED").ok().map(|seed| seed.parse().unwrap());
    let mut all = Oracle::default();
    for seed in only.map_or(seeds, |seed| seed..seed + 1) {
        let mut random = fastrand::Rng::with_seed(seed);
        let plan = plan(&mut random);
        let oracle = Schedule::new(random, plan).run().await;
        assert!(oracle.wrong.is_empty(), "HANDOVER_SEED={seed} {plan:?}: {:#?}", oracle.wrong);
        all.add(&oracle);
    }
    println!("{all}");
    let enough = all.answered > 10_000 && all.handed_off > 1_000;
    assert!(enough || all.schedules == 1, "hardly anything was tested: {all}");
    all
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_in_any_order_lose_nothing_count_nothing_twice_and_refuse_nothing() {
    let all = survives(0..100, |random| FaultPlan {
        delay: Duration::from_millis(random.u64(0..20)),
        lost_writes: random.u8(0..100),
        ..FaultPlan::GOOD
    })
    .await;
    assert_eq!(all.refused, 0, "somebody was refused");
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_in_any_order_lose_nothing_although_requests_and_answers_are_lost() {
    let all = survives(1_000..1_200, |random| FaultPlan {
        delay: Duration::from_millis(random.u64(0..20)),
        lost_requests: random.u8(0..10),
        late_requests: random.u8(0..10),
        lost_answers: random.u8(0..30),
        lost_writes: random.u8(0..100),
    })
    .await;
    assert!(all.refused * 50 < all.answered || all.schedules == 1, "too many were refused: {all}");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_the_highest_values_has_what_a_node_that_leaves_has_not_handed_over_yet() {
    const COUNTERS: usize = 100;
    let network = Network::new();
    let plan = FaultPlan { delay: Duration::from_millis(20), ..FaultPlan::GOOD };
    let [a, b] = [(0, "a"), (1, "b")].map(|(n, name)| join(Arc::new(Shaky::new(&network, plan, n)), name, 16));
    let nodes = [a.await, b.await];
    whole(&nodes).await;
    for n in 0..COUNTERS {
        nodes[0].increment(&id(&n.to_string()), 1, None).await.unwrap();
    }
    let [a, b] = nodes;
    assert!(b.metrics().counters.iter().sum::<u64>() > 0, "the node that leaves has counters");
    let (leaving, mut lists) = (b.clone(), 0);
    let stopped = tokio::spawn(async move { leaving.stop().await });
    wait_until("the node has left", SOON, async || {
        // Of a node that has just gone there is no list, and that is an error.
        if let Ok(top) = a.top(COUNTERS).await {
            assert_eq!(top.len(), COUNTERS);
            lists += usize::from(b.metrics().counters.iter().sum::<u64>() > 0);
        }
        stopped.is_finished()
    })
    .await;
    assert!(lists > 0, "no list was made before all was handed over");
    assert_eq!(a.top(COUNTERS).await.unwrap().len(), COUNTERS);
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_join_an_empty_cluster_at_once_never_both_answer_1() {
    for seed in 0..100 {
        let network = Network::new();
        let plan = FaultPlan { delay: Duration::from_millis(20), lost_writes: 50, ..FaultPlan::GOOD };
        let counted = join_all(["a", "b"].into_iter().zip(0..).map(async |(name, n)| {
            let node = join(Arc::new(Shaky::new(&network, plan, 2 * seed + n)), name, 8).await;
            let mut counted = Vec::new();
            for name in 0..20 {
                counted.push(node.increment(&id(&name.to_string()), 1, None).await.unwrap().value);
            }
            (node, counted)
        }))
        .await;
        let [(a, first), (b, second)] = <[_; 2]>::try_from(counted).ok().unwrap();
        for (name, (one, other)) in first.into_iter().zip(second).enumerate() {
            assert_eq!((one.min(other), one.max(other)), (1, 2), "seed {seed}, counter {name}");
        }
        b.stop().await;
        a.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_that_join_at_once_while_counters_change_have_each_of_them_and_the_last_one_has_all() {
    const COUNTERS: usize = 5_000;
    let network = Network::new();
    let plan = FaultPlan { delay: Duration::from_millis(5), lost_answers: 10, lost_writes: 50, ..FaultPlan::GOOD };
    let transport = |n| Arc::new(Shaky::new(&network, plan, n));
    let first = join(transport(0), "n0", 64).await;
    // Long names, so that most shards have more than one part.
    let names: Vec<_> = (0..COUNTERS).map(|n| id(&format!("{n}-{}", "x".repeat(200)))).collect();
    for name in &names {
        first.increment(name, 1, None).await.unwrap();
    }
    let others = join_all((1..4).map(async |n| join(transport(n), &format!("n{n}"), 64).await)).await;
    let mut nodes = [vec![first], others].concat();
    whole(&nodes).await;
    let counters = |node: &Node| node.metrics().counters.iter().sum::<u64>();
    assert_eq!(nodes.iter().map(counters).sum::<u64>(), COUNTERS as u64, "each is at one node");
    assert!(nodes.iter().all(|node| counters(node) > COUNTERS as u64 / 8), "each has a share");
    let order = [1, 0, 1];
    for leaves in order {
        nodes.remove(leaves).stop().await;
    }
    whole(&nodes).await;
    for name in &names {
        assert_eq!(nodes[0].increment(name, 1, None).await, Ok(CounterValue { value: 2, version: 2 }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_hands_off_to_one_that_has_only_begun_to_join_although_it_does_not_know_it() {
    for seed in 0..20 {
        let network = Network::new();
        let deaf = FaultPlan { lost_writes: 100, ..FaultPlan::GOOD };
        let first = join(Arc::new(Shaky::new(&network, deaf, seed)), "a", 8).await;
        for name in 0..20 {
            first.increment(&id(&name.to_string()), 1, None).await.unwrap();
        }
        let slow = FaultPlan { delay: Duration::from_millis(seed * 20), ..FaultPlan::GOOD };
        let second = tokio::spawn(join(Arc::new(Shaky::new(&network, slow, seed)), "b", 8));
        wait_until("it has a record", SOON, async || is_announced(&network, "b").await).await;
        first.stop().await;
        let second = second.await.unwrap();
        for name in 0..20 {
            let counted = second.increment(&id(&name.to_string()), 1, None).await;
            assert_eq!(counted, Ok(CounterValue { value: 2, version: 2 }), "seed {seed}");
        }
        second.stop().await;
    }
}

/// Whether a node has announced itself.
async fn is_announced(network: &Network, node: &str) -> bool {
    let node = NodeId::new(node).unwrap();
    network.endpoint().read(&node, Duration::from_secs(1)).await.unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lives_is_waited_for_without_limit_and_readiness_names_it() {
    let network = Network::new();
    let transports: Vec<_> = (0..3).map(|n| Arc::new(Shaky::new(&network, FaultPlan::GOOD, n))).collect();
    let nodes = join_all(["a", "b", "c"].iter().zip(&transports).map(|(name, t)| join(t.clone(), name, 64))).await;
    whole(&nodes).await;
    let [a, b, c] = <[Node; 3]>::try_from(nodes).ok().unwrap();
    transports[2].lose(Losses::All);
    drop(b);
    let waits = async || c.is_ready().is_err_and(|why| why.contains("has waited for the answer of node a for 30."));
    wait_until("it says for whom it waits, and for how long", 3 * SOON, waits).await;
    assert_eq!((c.metrics().members, a.is_ready()), (2, Ok(())), "it lives, and has what it claims");
    transports[2].lose(Losses::None);
    whole(&[a, c]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_node_has_counted_that_was_taken_for_dead_is_added_when_it_is_back() {
    let network = Network::new();
    let (wire, other) = (network.endpoint(), network.endpoint());
    let a = join(Arc::new(wire.clone()), "a", 8).await;
    let b = join(Arc::new(other), "b", 8).await;
    let nodes = [a, b];
    whole(&nodes).await;
    let [a, b] = &nodes;
    let names: Vec<_> = (0..30).map(|n| id(&n.to_string())).collect();
    for name in &names {
        a.increment(name, 5, None).await.unwrap();
    }
    wire.cut(Cut::Everything);
    wait_until("it is taken for dead", SOON, async || b.metrics().members == 1 && b.is_ready().is_ok()).await;
    let mut lost = 0;
    for name in &names {
        lost += i64::from(b.increment(name, 1, None).await.unwrap().value == 1);
    }
    assert!(lost > 0 && lost < 30, "{lost} were at the node that is cut off");
    wire.cut(Cut::Nothing);
    whole(&nodes).await;
    for node in &nodes {
        for name in &names {
            assert_eq!(node.get(name).await, Ok(CounterValue { value: 6, version: 2 }));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_two_owners_have_counted_that_did_not_know_each_other_is_added_when_they_meet() {
    let network = Network::new();
    let [one, other] = [0, 1].map(|seed| Arc::new(Shaky::new(&network, FaultPlan::GOOD, seed)));
    for transport in [&one, &other] {
        transport.lose(Losses::All);
    }
    let nodes = [join(one.clone(), "a", 8).await, join(other.clone(), "b", 8).await];
    let names: Vec<_> = (0..30).map(|n| id(&n.to_string())).collect();
    for (node, amount) in nodes.iter().zip([5, 1]) {
        for name in &names {
            let counted = node.increment(name, amount, None).await;
            assert_eq!(counted, Ok(CounterValue { value: amount, version: 1 }), "each is the only one that it knows");
        }
    }
    for transport in [&one, &other] {
        transport.lose(Losses::None);
    }
    whole(&nodes).await;
    for node in &nodes {
        for name in &names {
            assert_eq!(node.get(name).await, Ok(CounterValue { value: 6, version: 2 }));
        }
    }
}
