//! One at a time, in order, and nobody is held up by another actor.

use super::counter::{Add, Next, Pass, Read, gate};
use super::nodes::{LONG, leave, nodes};
use evenfold_cluster::local::Network;
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::pin::pin;

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_any_request_and_there_is_one_actor_per_key() {
    let nodes = nodes(&Network::new(), 3).await;
    for key in 0..30 {
        let key = format!("key {key}");
        for (place, (_, counters)) in (1..).zip(&nodes) {
            assert_eq!(counters.request(&key, Add(2), LONG).await, Ok(2 * place));
        }
    }
    let metrics: Vec<_> = nodes.iter().map(|(_, counters)| counters.metrics()).collect();
    assert_eq!(metrics.iter().map(|node| node.actors).sum::<u64>(), 30);
    assert_eq!(metrics.iter().map(|node| node.owned).sum::<usize>(), 16);
    assert!(metrics.iter().all(|node| node.actors > 0 && node.local > 0 && node.remote > 0), "{metrics:?}");
    let handled =
        |node: &evenfold_actors::ActorsMetrics| node.handling.iter().find(|(name, _)| *name == "Add").unwrap().1.count;
    assert_eq!(metrics.iter().map(handled).sum::<u64>(), 90);
    let figures = evenfold_actors::figures(&nodes.iter().map(|(node, _)| node.clone()).collect::<Vec<_>>()).unwrap();
    for figure in [
        "evenfold_actors_actors{node=\"node-0\",kind=\"counter\"}",
        "_duration_seconds_count{node=\"node-0\",kind=\"counter\",message=\"Add\"} ",
        "_mailbox_messages{",
    ] {
        assert!(figures.contains(figure), "{figure} is not in {figures}");
    }
    leave(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_each_sender_are_handled_in_their_order() {
    let nodes = nodes(&Network::new(), 3).await;
    let send = |sender: u64| {
        let counters = nodes[usize::try_from(sender).unwrap() % 3].1.clone();
        tokio::spawn(async move {
            for number in 1..=300 {
                for key in ["a", "b", "c"] {
                    assert_eq!(counters.request(key, Next { sender, number }, LONG).await, Ok(true), "{key} {number}");
                }
            }
        })
    };
    for sent in (0..9).map(send).collect::<Vec<_>>() {
        sent.await.unwrap();
    }
    assert_eq!(nodes[0].1.request("a", Read, LONG).await, Ok(2_700));
    leave(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_waits_holds_up_its_own_actor_alone() {
    let nodes = nodes(&Network::new(), 1).await;
    let counters = nodes[0].1.clone();
    let name = "waits holds up";
    let mut passing = pin!(counters.request("held", Pass(name.to_owned()), LONG));
    let mut behind = pin!(counters.request("held", Add(1), LONG));
    assert!((&mut passing).now_or_never().is_none() && (&mut behind).now_or_never().is_none());
    // Many of these are in the same shard.
    let others = join_all((0..100).map(async |key| counters.request(&key.to_string(), Add(1), LONG).await)).await;
    assert!(others.iter().all(|reply| *reply == Ok(1)), "{others:?}");
    assert!((&mut behind).now_or_never().is_none(), "it has not overtaken the one before");
    gate(name).add_permits(1);
    assert_eq!((passing.await, behind.await), (Ok(()), Ok(1)));
    leave(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_handled_to_its_end_when_nobody_waits_for_it_any_more() {
    let nodes = nodes(&Network::new(), 1).await;
    let counters = nodes[0].1.clone();
    let name = "nobody waits";
    {
        let mut passing = pin!(counters.request("a", Pass(name.to_owned()), LONG));
        assert!((&mut passing).now_or_never().is_none());
    }
    gate(name).add_permits(1);
    assert_eq!(counters.request("a", Add(1), LONG).await, Ok(1));
    assert_eq!(gate(name).available_permits(), 0, "it has passed");
    leave(nodes).await;
}
