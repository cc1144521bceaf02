//! Which shard a key has, and what the figures of a group say.

use super::{LONG, Ledger, LedgerReply, To, counts, gated, ledgers, note};
use crate::support::wait_until;
use evenfold_groups::{ActorGroup, GroupOptions, Shard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Sends once about each of so many keys.
async fn send_about(group: &ActorGroup<Ledger>, keys: u64, number: u64) {
    for key in (0..keys).map(|key| format!("key {key}")) {
        group.send(&key, note(&key, 1, number), LONG).await.unwrap();
    }
}

/// Each key is known to the shard that `shard_of` gives.
async fn assert_agrees(group: &ActorGroup<Ledger>, keys: usize) {
    let mut known = Vec::new();
    for shard in 0..group.shards() {
        let LedgerReply::Counts(all) = group.ask_shard(shard, To::Counts, LONG).await.unwrap() else {
            panic!("counts")
        };
        known.extend(all.into_iter().map(|(_, key)| (key, shard)));
    }
    assert_eq!(known.len(), keys);
    for (key, shard) in known {
        assert_eq!(group.shard_of(&key), Some(shard), "{key} of {} shards", group.shards());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shard_of_a_key_is_where_its_messages_go_before_and_after_a_resize() {
    let group = ledgers(4).await;
    for (number, shards) in [(1, 4), (2, 7), (3, 2), (4, 1)] {
        group.resize(shards).await.unwrap();
        // What they knew has moved, and what is sent now goes there too.
        send_about(&group, 500, number).await;
        assert_agrees(&group, 500).await;
    }
    let stopped = group.stop().await;
    assert!(stopped.iter().all(|ledger| ledger.wrong.is_empty()), "each key was at one shard");
    assert_eq!(group.shard_of("key 1"), None, "a group that has been stopped has no shards");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_says_where_the_time_went_in_80_columns() {
    let group = ledgers(3).await;
    let imbalance = "imbalance     not known";
    assert!(group.metrics().to_string().contains(imbalance) && group.metrics().delay().is_none());
    for number in 1..=20_000 {
        group.send("a", note("a", 1, number), LONG).await.unwrap();
    }
    group.send("b", note("b", 1, 1), LONG).await.unwrap();
    counts(&group).await;
    let metrics = group.metrics();
    assert_eq!(metrics.handled(), 20_001 + 3);
    assert!((metrics.imbalance().unwrap() - 3.0).abs() < 0.01, "{metrics}");
    assert!(metrics.compute() > Duration::ZERO && metrics.coordination() > Duration::ZERO);
    let parts = ["test: 3 shards, 20004 messages handled", "coordination", "compute", "delay", "imbalance     3.00"];
    group.resize(2).await.unwrap();
    let resized = group.metrics().to_string();
    assert!(resized.contains(imbalance) && resized.contains("shards that a resize has ended"), "{resized}");
    let report = metrics.to_string();
    assert!(report.lines().chain(resized.lines()).all(|line| line.chars().count() <= 80), "{report}{resized}");
    for part in parts {
        assert!(report.contains(part), "no {part:?} in {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_came_with_a_resize_do_not_count_as_imbalance() {
    let group = ledgers(2).await;
    send_about(&group, 20_000, 1).await;
    counts(&group).await;
    group.resize(8).await.unwrap();
    assert_eq!(group.metrics().imbalance(), None, "nothing was handled since");
    send_about(&group, 20_000, 2).await;
    counts(&group).await;
    let metrics = group.metrics();
    let recent: u64 = metrics.shards.iter().map(|shard| shard.handled_since_resize).sum();
    assert_eq!((recent, metrics.handled()), (20_000 + 8, 40_000 + 2 + 8));
    assert!(metrics.imbalance().unwrap() < 1.2, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_at_the_same_time_are_a_delay_and_no_coordination() {
    const MESSAGES: u64 = 10_000;
    let (group, gate) = gated(1, 20_000).await;
    let began = Instant::now();
    group.try_send("a", To::Pass).unwrap();
    send_about(&group, MESSAGES, 1).await;
    let sent = Instant::now();
    wait_until("they have waited", LONG, async || sent.elapsed() > Duration::from_millis(100)).await;
    gate.add_permits(1);
    counts(&group).await;
    let (metrics, elapsed) = (group.metrics(), began.elapsed());
    let queueing = metrics.shards[0].queueing;
    assert!(queueing > 100 * elapsed, "added up it is longer than any clock says: {queueing:?} in {elapsed:?}");
    // One message in 64 is measured: the mean of some 150 is near that of all.
    let delay = metrics.delay().unwrap();
    assert!(delay > Duration::from_millis(50) && delay < 2 * elapsed, "{delay:?} in {elapsed:?}");
    assert!(metrics.coordination() * 10 < queueing, "{metrics}");
}

/// Works for two milliseconds at each message.
struct Spinning;

impl Shard for Spinning {
    type Message = ();
    type Reply = ();

    async fn handle(&mut self, (): ()) {
        work(Duration::from_millis(2));
    }

    async fn recover(&mut self) {}
}

fn work(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// On one thread, which somebody else has nine tenths of.
#[tokio::test]
async fn time_that_others_have_the_thread_is_no_compute() {
    let group = ActorGroup::start(GroupOptions::default().shards(1), |_| Spinning).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let theirs = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            while !done.load(Ordering::SeqCst) {
                work(Duration::from_millis(18));
                tokio::task::yield_now().await;
            }
        }
    });
    let began = Instant::now();
    for _ in 0..20 {
        group.try_send("a", ()).unwrap();
    }
    group.ask("a", (), LONG).await.unwrap();
    let elapsed = began.elapsed();
    done.store(true, Ordering::SeqCst);
    theirs.await.unwrap();
    let compute = group.metrics().compute();
    assert!(compute >= Duration::from_millis(40) && compute * 2 < elapsed, "{compute:?} of {elapsed:?}");
}
