//! Changing the number of shards while messages come.

use super::{LONG, Ledger, NO_TIME, To, counts, gated, ledgers, note, options};
use evenfold_groups::{ActorGroup, AskError, ResizeError};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;

/// Several senders send messages about several keys and ask in between, while the number of shards goes from one number
/// to the next.
async fn under_load(sizes: &[u32], mailbox: usize, panics: bool) -> (u64, HashMap<String, u64>, Vec<String>) {
    const SENDERS: u32 = 4;
    const KEYS: usize = 40;
    let group = ActorGroup::start(options(3, mailbox), |_| Ledger::default()).await.unwrap();
    let done = AtomicBool::new(false);
    let send = async |sender: u32| {
        let mut rounds = 0;
        while rounds < 3 || !done.load(Ordering::SeqCst) {
            rounds += 1;
            for key in (0..KEYS).map(|key| format!("key {key}")) {
                if fastrand::bool() {
                    group.send(&key, note(&key, sender, rounds), LONG).await.unwrap();
                } else {
                    group.ask(&key, note(&key, sender, rounds), LONG).await.unwrap();
                }
            }
            if panics && sender == 0 {
                group.send(rounds, To::Panic, LONG).await.unwrap();
            }
        }
        rounds
    };
    let resize = async {
        for &shards in sizes {
            group.resize(shards).await.unwrap();
            assert_eq!(group.shards(), shards);
        }
        done.store(true, Ordering::SeqCst);
    };
    // A key that was left out of an answer, because it was on its way, would make the sum smaller than the one before.
    let gather = async {
        let mut sum = 0;
        while !done.load(Ordering::SeqCst) {
            let next = counts(&group).await.values().sum();
            assert!(next >= sum, "{next} after {sum}");
            sum = next;
        }
    };
    let (rounds, (), ()) = tokio::join!(futures_util::future::join_all((0..SENDERS).map(send)), resize, gather);
    let counts = counts(&group).await;
    let wrong = group.stop().await.into_iter().flat_map(|shard| shard.wrong).collect();
    (rounds.iter().sum(), counts, wrong)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_overtaken_while_the_number_of_shards_changes(
        sizes in prop::collection::vec(1_u32..12, 1..12),
        mailbox in prop::sample::select(vec![1_usize, 2, 16, 1024]),
        panics: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let (sent, counts, wrong) = runtime.block_on(under_load(&sizes, mailbox, panics));
        prop_assert_eq!(wrong, [""; 0]);
        prop_assert_eq!(counts.len(), 40);
        prop_assert!(counts.values().all(|count| *count == sent), "{sent}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn about_a_share_of_the_keys_moves_to_a_new_shard_and_none_between_the_others() {
    let group = ledgers(4).await;
    for key in 0..10_000 {
        let key = format!("key {key}");
        group.send(&key, note(&key, 1, 1), LONG).await.unwrap();
    }
    let before = counts(&group).await;
    group.resize(5).await.unwrap();
    assert_eq!(counts(&group).await, before);
    let moved = group.stop().await[4].keys.len();
    assert!((1800..2200).contains(&moved), "{moved} of 10,000 have moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_who_wait_for_room_at_a_shard_that_goes_get_it_where_their_keys_are_now() {
    let (group, gate) = gated(4, 2).await;
    for shard in 0..4 {
        let _busy = group.ask_shard(shard, To::Pass, NO_TIME).await;
    }
    let send = async |key: u64| {
        for number in 1..=3 {
            group.send(key, note(&key.to_string(), 1, number), LONG).await.unwrap();
        }
    };
    let sending = futures_util::future::join_all((0..40).map(send));
    let resizing = async {
        let (resized, ()) = tokio::join!(group.resize(1), async { gate.add_permits(4) });
        resized.unwrap();
    };
    tokio::join!(sending, resizing);
    assert!(counts(&group).await.values().all(|count| *count == 3));
    assert_eq!(group.stop().await[0].wrong, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_who_wait_for_room_at_a_shard_that_stays_get_it_where_their_keys_are_now() {
    let (group, gate) = gated(1, 2).await;
    group.try_send("a", To::Pass).unwrap();
    group.try_send("a", note("a", 1, 1)).unwrap();
    let (waiting, mut done) = (Arc::new(Semaphore::new(0)), Vec::new());
    for key in 0..40_u64 {
        let (group, waiting) = (group.clone(), Arc::clone(&waiting));
        done.push(tokio::spawn(async move {
            assert!(group.try_send(key, To::Counts).is_err());
            waiting.add_permits(1);
            group.send(key, note(&key.to_string(), 1, 1), LONG).await
        }));
    }
    waiting.acquire_many(40).await.unwrap().forget();
    let (resized, ()) = tokio::join!(group.resize(8), async { gate.add_permits(1) });
    resized.unwrap();
    for sent in done {
        sent.await.unwrap().unwrap();
    }
    assert_eq!(counts(&group).await.len(), 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resize_whose_wait_is_dropped_goes_on() {
    let (group, gate) = gated(2, 10).await;
    assert_eq!(group.ask_shard(0, To::Pass, NO_TIME).await, Err(AskError::TimedOut));
    assert!(tokio::time::timeout(NO_TIME, group.resize(3)).await.is_err());
    gate.add_permits(1);
    group.resize(4).await.unwrap();
    assert_eq!(group.shards(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_panics_while_it_gives_tries_again_and_gives_all() {
    let make = |shard| Ledger { gives_to_fail: if shard == 0 { 2 } else { 0 }, ..Ledger::default() };
    let group = ActorGroup::start(options(2, 1000), make).await.unwrap();
    for key in 0..100 {
        let key = format!("key {key}");
        group.send(&key, note(&key, 1, 1), LONG).await.unwrap();
    }
    let before = counts(&group).await;
    group.resize(5).await.unwrap();
    assert_eq!(counts(&group).await, before);
    assert_eq!(group.metrics().panics(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_can_never_give_is_reported_and_the_group_goes_on() {
    let make = |shard| Ledger { gives_to_fail: if shard == 0 { 99 } else { 0 }, ..Ledger::default() };
    let group = ActorGroup::start(options(2, 1000), make).await.unwrap();
    assert_eq!(group.resize(3).await, Err(ResizeError::Handover(0)));
    assert_eq!(group.shards(), 3);
    group.send("a", note("a", 1, 1), LONG).await.unwrap();
    assert_eq!(counts(&group).await.len(), 1);
}
