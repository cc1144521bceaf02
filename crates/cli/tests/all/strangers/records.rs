//! Records that strangers write: under a node's name, and under one of their own.

use super::wire::{Member, Pair, Recording, SECRET, node_id, send, send_again, transport};
use crate::support::{NatsServer, SOON, Serving, wait_until};
use async_nats::jetstream;
use bytes::Bytes;
use evenfold_cluster::Transport;
use evenfold_counter_service::{Node, NodeOptions, StartError, Storage};
use evenfold_groups::ProcessGroups;
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

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
async fn a_strange_record_with_each_nodes_name_ends_no_node_and_is_overwritten() {
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
            let written_again = async || {
                let record = nodes_own.read(&node_id(name), LIMIT).await.unwrap();
                record.is_some_and(|record| !record.value.is_empty())
            };
            wait_until("the node has written its record again", SOON, written_again).await;
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
    let shards = || (pair.a.node.metrics().owned, pair.b.node.metrics().owned);
    wait_until("the shards are divided", SOON, async || matches!(shards(), (a @ 1.., b @ 1..) if a + b == 16)).await;
    let divided = shards();
    // A node that is complete, but for the secret: it believes that it is alone.
    let ghost = Member::join(&pair.server.url(), "ghost", None).await;
    assert_eq!(ghost.node.metrics().members, 1);
    // And heartbeats as a node without the secret writes them.
    let (mut revision, mut count) = (0, 0);
    let begun = Instant::now();
    wait_until("a node would be known by then", SOON, async || {
        let beat = postcard::to_stdvec(&(2_u8, 77_u64, count, 16_u32, 1_u32, None::<(u64, u64)>)).unwrap();
        revision = stranger.write(&node_id("spook"), revision, beat.into(), LIMIT).await.unwrap();
        count += 1;
        assert_eq!((shards(), members(&pair)), (divided, (2, 2)));
        begun.elapsed() > LONG
    })
    .await;
    assert!(pair.a.nats.refused() >= count && pair.b.nats.refused() >= count, "the heartbeats were there");
    nothing_changes(&pair, (2, 2)).await;
    assert_eq!(shards(), divided);
    assert_eq!((pair.a.increment("x").await, pair.b.increment("x").await), (1, 2));
    assert_eq!(ghost.get("x").await, (0, 0));
}

fn start_process(server: &NatsServer) -> Serving {
    let args = ["--volatile", "--cluster=c", "--shards=16", "--node-id=a", "--nats-url", &server.url()];
    Serving::start(&args, &[("EVENFOLD_CLUSTER_SECRET", SECRET)])
}

async fn joins(server: &NatsServer, name: &'static str) -> JoinHandle<Result<Node, StartError>> {
    let nats = transport(&server.url(), Some(SECRET)).await;
    tokio::spawn(async move {
        let options = NodeOptions::default().shards(16);
        let groups = ProcessGroups::default();
        Node::join(options, Storage::Volatile, &groups, nats as Arc<dyn Transport>, node_id(name)).await
    })
}

/// Writes strange records under the name `a`, as long as this goes on, beginning with a heartbeat that can be read.
/// Gives how many.
async fn disturbed<T>(client: &async_nats::Client, earlier: &[async_nats::Message], joining: &JoinHandle<T>) -> usize {
    let mut ticks = tokio::time::interval(Duration::from_millis(300));
    ticks.tick().await;
    let mut strange = 0;
    while !joining.is_finished() {
        match strange % 2 {
            0 => send_again(client, &earlier[strange / 2 % earlier.len()]).await,
            _ => send(client, "$KV.evenfold_c.a", None, Bytes::from_static(b"boo")).await,
        }
        client.flush().await.unwrap();
        strange += 1;
        ticks.tick().await;
    }
    strange
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_records_keep_no_next_process_from_a_killed_nodes_name_and_give_nobody_that_of_a_living_one() {
    let server = NatsServer::start();
    let client = async_nats::connect(server.url()).await.unwrap();
    let recording = Recording::start(&client).await;
    let mut killed = start_process(&server);
    wait_until("it was seen alive", SOON, async || recording.with("$KV.evenfold_c.a").len() >= 8).await;
    let earlier = recording.with("$KV.evenfold_c.a");
    killed.process.signal(Signal::SIGKILL);
    killed.process.wait();
    // What can't be read, and heartbeats of that process, each later than the one before it.
    let joining = joins(&server, "a").await;
    let strange = disturbed(&client, &earlier, &joining).await;
    let node = joining.await.unwrap().expect("the name is free");
    assert!(strange >= 4, "{strange} came while it waited");
    wait_until("it has its shards", SOON, async || node.is_ready().is_ok()).await;
    assert_eq!(node.increment(&super::wire::counter("x"), 1, None).await.unwrap().value, 1);
    // The next one lives, and is not replaced, whatever is in its record.
    let joining = joins(&server, "a").await;
    disturbed(&client, &earlier, &joining).await;
    let refused = joining.await.unwrap().map(drop).unwrap_err();
    assert!(refused.to_string().contains("the node a runs already"), "{refused}");
    assert_eq!(node.increment(&super::wire::counter("x"), 1, None).await.unwrap().value, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_in_words_what_strange_records_and_messages_mean() {
    let server = NatsServer::start();
    let client = async_nats::connect(server.url()).await.unwrap();
    let recording = Recording::start(&client).await;
    let mut process = start_process(&server);
    wait_until("it was seen alive", SOON, async || recording.with("$KV.evenfold_c.a").len() >= 4).await;
    let earlier = recording.with("$KV.evenfold_c.a");
    assert_eq!(process.end(Signal::SIGTERM).0, 0);

    let mut process = start_process(&server);
    let logs = async |sentence: &str| {
        wait_until(sentence, SOON, async || process.process.log().contains(sentence)).await;
    };
    send_again(&client, &earlier[3]).await;
    client.flush().await.unwrap();
    logs("another process has written this node's record, or somebody an old heartbeat").await;
    for _ in 0..3 {
        send(&client, "$KV.evenfold_c.a", None, Bytes::from_static(b"boo")).await;
    }
    client.flush().await.unwrap();
    logs("1 messages were ignored that no node of this cluster has sealed: whoever sends them has another").await;
    assert_eq!(process.process.log().matches("were ignored").count(), 1, "once a minute: {}", process.process.log());
    assert_eq!(process.end(Signal::SIGTERM).0, 0, "and it ends as ever");

    // Another process, as there is one such sentence in a minute.
    let mut process = start_process(&server);
    let peer = Member::join(&server.url(), "b", Some(SECRET)).await;
    wait_until("it was asked something", SOON, async || !recording.with(".node.a.").is_empty()).await;
    for message in recording.with(".node.a.") {
        send_again(&client, &message).await;
    }
    client.flush().await.unwrap();
    let repeated = "messages were ignored, the last one of which has come before";
    wait_until(repeated, SOON, async || process.process.log().contains(repeated)).await;
    drop(peer);
    assert_eq!(process.end(Signal::SIGTERM).0, 0);
}
