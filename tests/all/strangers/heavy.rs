//! What a node that errs asks of another one, or somebody who knows the secret: it is checked as what a client asks.

use super::wire::{CLUSTER, Member, Peer, Question, frame, increment, node_id};
use crate::support::{NatsServer, SOON, Serving, wait_until};
use evenfold::cluster::Transport;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_heavy_frames_keep_no_node_from_answering_http_and_take_little_of_its_memory() {
    let server = NatsServer::start();
    let args = ["--volatile", "--cluster", CLUSTER, "--nats-url", &server.url(), "--node-id=a"];
    let mut serving = Serving::start(&args, &[]);
    let peer = Peer::start(&server.url()).await;
    for thousand in 0..20 {
        let counters = (0..1_000).map(|n| increment(&format!("counter-{}", thousand * 1_000 + n), 1));
        assert_eq!(peer.ask(counters).await[..2], [2, 0]);
    }
    let top = |limit: u64, named: usize| Question::Top { limit, named: (0..named).map(|n| n.to_string()).collect() };
    let tiny = frame(2, "p", u32::MAX, vec![Question::Release { shard: 0, holding: 0, taking: 0, number: 0 }; 110_000]);
    let tops = frame(2, "p", u32::MAX, vec![top(1_000, 0); 1_024]);
    let greedy = frame(2, "p", u32::MAX, vec![top(u64::MAX, 16_000); 4]);
    for heavy in [tiny, tops, greedy] {
        assert!(heavy.len() < peer.nats.max_frame(), "{}", heavy.len());
        let mut sending = JoinSet::new();
        for _ in 0..30 {
            let (peer, heavy) = (Arc::clone(&peer.nats), heavy.clone());
            sending.spawn(async move { peer.request(&node_id("a"), heavy, Duration::from_secs(3)).await });
        }
        let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
        wait_until("the frames are there and are answered, or some time has gone by", SOON, async || {
            let asked = Instant::now();
            assert_eq!(serving.client().await.get("/healthz").await.status, 200);
            slowest = slowest.max(asked.elapsed());
            while sending.try_join_next().is_some() {}
            sending.is_empty() || begun.elapsed() > Duration::from_secs(3)
        })
        .await;
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.process.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    assert!(peak.parse::<u64>().unwrap() < 500_000, "{peak} kB");
    serving.end(Signal::SIGKILL);
}
