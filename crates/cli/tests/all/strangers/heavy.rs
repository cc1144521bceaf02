//! What a node that errs asks of another one, or somebody who knows the secret: it is checked as what a client asks.

use super::wire::{CLUSTER, Member, Peer, Question, frame, increment, node_id};
use crate::support::{NatsServer, SOON, Serving, wait_until};
use bytes::Bytes;
use evenfold_cluster::Transport;
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_amount_of_0_is_not_counted_whoever_sends_it() {
    let server = NatsServer::start();
    let member = Member::join(&server.url(), "a", None).await;
    assert_eq!(member.increment("x").await, 1);
    let peer = Peer::start(&server.url()).await;
    // All of them, one, and it is refused, which is the fifth reply.
    assert_eq!(&*peer.ask([increment("x", 0)]).await, &[2, 0, 0, 0, 0, 0, 1, 4]);
    assert_eq!(member.get("x").await, (1, 1));
    let counted = peer.ask([increment("x", 5)]).await;
    assert_eq!(counted[..3], [2, 0, 0], "the frame is right but for the amount");
    assert_eq!(member.get("x").await, (6, 2));
}

/// How long the frames may take. What waits for its turn at the node is refused after 5 s.
const WATCHED: Duration = Duration::from_secs(8);

/// The longest that a client waited, for an increment and for a read, while frames are sent 30 times at once.
async fn slowest_during(peer: &Peer, serving: &Serving, heavy: &Bytes) -> [Duration; 2] {
    assert!(heavy.len() < peer.nats.max_frame(), "{}", heavy.len());
    let mut sending = JoinSet::new();
    for _ in 0..30 {
        let (peer, heavy) = (Arc::clone(&peer.nats), heavy.clone());
        sending.spawn(async move { peer.request(&node_id("a"), heavy, WATCHED).await });
    }
    let (begun, mut slowest, mut counted) = (Instant::now(), [Duration::ZERO; 2], 0);
    let mut client = serving.client().await;
    let before = client.get("/counter/mine").await.json()["value"].as_i64().unwrap();
    wait_until("the frames are there and are answered, or some time has gone by", SOON, async || {
        let name = format!("/counter/counter-{}", counted % 20_000);
        for (request, slowest) in slowest.iter_mut().enumerate() {
            let asked = Instant::now();
            let reply = match request {
                0 => client.post("/counter/mine/increment", "").await,
                _ => client.get(&name).await,
            };
            *slowest = asked.elapsed().max(*slowest);
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        counted += 1;
        while sending.try_join_next().is_some() {}
        sending.is_empty() || begun.elapsed() > WATCHED
    })
    .await;
    assert_eq!(client.get("/counter/mine").await.json()["value"], before + counted);
    slowest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_heavy_frames_keep_no_node_from_counting_and_reading_and_take_little_of_its_memory() {
    let server = NatsServer::start();
    let args = ["--volatile", "--cluster", CLUSTER, "--nats-url", &server.url(), "--node-id=a"];
    let mut serving = Serving::start(&args, &[]);
    let peer = Peer::start(&server.url()).await;
    for thousand in 0..20 {
        let counters = (0..1_000).map(|n| increment(&format!("counter-{}", thousand * 1_000 + n), 1));
        assert_eq!(peer.ask(counters).await[..2], [2, 0]);
    }
    let top = |named: usize| Question::Top { limit: 1_000, named: (0..named).map(|n| n.to_string()).collect() };
    // As many names as may be asked for, and one more: the first is answered with all counters that there are.
    assert!(peer.ask([top(4_000)]).await.len() > 1_000 * "counter-0".len());
    assert_eq!(*peer.ask([top(4_001)]).await, [2, 0, 1, 0, 0, 0, 0], "the question is unreadable");
    let tiny = frame(2, "p", u32::MAX, vec![Question::Release { shard: 0, holding: 0, taking: 0, number: 0 }; 110_000]);
    let tops = frame(2, "p", u32::MAX, vec![top(0); 1_024]);
    let named = frame(2, "p", u32::MAX, vec![top(4_000); 50]);
    for (kind, heavy) in [("tiny", tiny), ("tops", tops), ("named", named)] {
        let slowest = slowest_during(&peer, &serving, &heavy).await;
        println!("{kind}: {slowest:?}");
        assert!(slowest.iter().all(|slowest| *slowest < Duration::from_millis(1_500)), "{kind}: {slowest:?}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.process.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    println!("{peak} kB");
    assert!(peak.parse::<u64>().unwrap() < 500_000, "{peak} kB");
    serving.end(Signal::SIGKILL);
}
