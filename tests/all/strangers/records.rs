//! Records that strangers write: under a node's name, and under one of their own.

use super::wire::{Member, Pair, Recording, SECRET, node_id, send, send_again, transport};
use crate::support::{SOON, wait_until};
use async_nats::jetstream;
use bytes::Bytes;
use evenfold::cluster::Transport;
use std::time::{Duration, Instant};

/// Longer than after which a silent node is dead.
const LONG: Duration = Duration::from_secs(3);

const LIMIT: Duration = Duration::from_secs(5);

/// Waits until that long has gone by, and makes sure that the nodes are members all the time.
async fn nothing_changes(pair: &Pair, views: (u64, u64)) {
    let begun = Instant::now();
    wait_until("some time has gone by", SOON, async || {
        assert!(pair.a.goes_on() && pair.b.goes_on(), "a node has ended");
        begun.elapsed() > LONG
    })
    .await;
    pair.is_whole().await;
    assert_eq!(members(pair), views);
}

fn members(pair: &Pair) -> (u64, u64) {
    (pair.a.node.metrics().members, pair.b.node.metrics().members)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strange_record_with_each_nodes_name_ends_no_node_and_is_written_over() {
    let pair = Pair::start(Some(SECRET)).await;
    assert_eq!((pair.a.increment("x").await, pair.b.increment("x").await), (1, 2));
    let client = pair.stranger().await;
    let nodes_own = transport(&pair.server.url(), Some(SECRET)).await;
    // As a node without a seal would write it, with another incarnation; nothing; and anything.
    let plain = postcard::to_stdvec(&(1_u8, 77_u64, 9_u64, 16_u32, 1_u32)).unwrap();
    for strange in [Bytes::from(plain), Bytes::new(), Bytes::from(vec![2; 500])] {
        for name in ["a", "b"] {
            send(&client, &format!("$KV.evenfold_c.{name}"), None, strange.clone()).await;
        }
        client.flush().await.unwrap();
        for name in ["a", "b"] {
            let written_over = async || {
                let record = nodes_own.read(&node_id(name), LIMIT).await.unwrap();
                record.is_some_and(|record| !record.value.is_empty())
            };
            wait_until("the node has written its record again", SOON, written_over).await;
        }
    }
    nothing_changes(&pair, (2, 2)).await;
    assert_eq!((pair.a.increment("x").await, pair.b.increment("x").await), (3, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_of_an_earlier_process_that_is_written_again_ends_no_node() {
    let mut pair = Pair::start(Some(SECRET)).await;
    let client = pair.stranger().await;
    let recording = Recording::start(&client).await;
    wait_until("it was seen alive", SOON, async || recording.with("$KV.evenfold_c.a").len() >= 4).await;
    let earlier = recording.with("$KV.evenfold_c.a");
    pair.a.node.stop().await;
    pair.a = Member::join(&pair.server.url(), "a", Some(SECRET)).await;
    pair.is_whole().await;
    // Each is later than the one before it, as if that process went on.
    for heartbeat in &earlier {
        send_again(&client, heartbeat).await;
        client.flush().await.unwrap();
        let again = recording.all().len() + 4;
        wait_until("the nodes go on", SOON, async || recording.all().len() >= again).await;
    }
    nothing_changes(&pair, (2, 2)).await;
    assert_eq!((pair.a.increment("x").await, pair.b.increment("x").await), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_deleted_or_purged_with_their_bucket_are_written_again() {
    let pair = Pair::start(Some(SECRET)).await;
    let jetstream = jetstream::new(pair.stranger().await);
    let nodes_own = transport(&pair.server.url(), Some(SECRET)).await;
    let written_again = async || {
        for name in ["a", "b"] {
            let there = async || nodes_own.read(&node_id(name), LIMIT).await.is_ok_and(|record| record.is_some());
            wait_until("the record is there", SOON, there).await;
        }
        pair.is_whole().await;
    };
    jetstream.get_stream("KV_evenfold_c").await.unwrap().purge().await.unwrap();
    written_again().await;
    jetstream.delete_stream("KV_evenfold_c").await.unwrap();
    written_again().await;
    nothing_changes(&pair, (2, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heartbeats_of_a_ghost_take_no_shard_away() {
    let pair = Pair::start(Some(SECRET)).await;
    let stranger = transport(&pair.server.url(), None).await;
    let shards = pair.a.node.metrics();
    // A node that is complete, but for the secret: it believes that it is alone.
    let ghost = Member::join(&pair.server.url(), "ghost", None).await;
    assert_eq!(ghost.node.metrics().members, 1);
    for (revision, name) in (0..20).zip(["spook"].into_iter().cycle()) {
        let _ = stranger.write(&node_id(name), revision, Bytes::from_static(b"boo"), LIMIT).await;
    }
    nothing_changes(&pair, (2, 2)).await;
    assert_eq!(pair.a.node.metrics().members, shards.members);
    assert_eq!((pair.a.increment("x").await, pair.b.increment("x").await), (1, 2));
    assert_eq!(ghost.get("x").await, (0, 0));
}
