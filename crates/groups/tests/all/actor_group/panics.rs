//! Shards that panic.

use super::{LONG, Ledger, LedgerReply, NO_TIME, To, counts, gated, ledgers, note, options};
use evenfold_groups::{ActorGroup, AfterPanic, AskError, Missing};
use std::collections::HashMap;

async fn recoveries(group: &ActorGroup<Ledger>) -> Vec<u64> {
    let merge = |mut all: Vec<u64>, reply| {
        let LedgerReply::Recovered(times) = reply else { panic!("{reply:?}") };
        all.push(times);
        all
    };
    group.ask_all(|_| To::Recovered, Vec::new(), merge, LONG, Missing::Fail).await.unwrap().value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_panics_is_restarted_with_its_state_and_the_others_notice_nothing() {
    let group = ledgers(3).await;
    for key in 0..30_u64 {
        group.send(key, note(&key.to_string(), 1, 1), LONG).await.unwrap();
    }
    assert_eq!(group.ask_shard(1, To::Panic, LONG).await, Err(AskError::Panicked));
    assert_eq!(recoveries(&group).await, [0, 1, 0]);
    for key in 0..30_u64 {
        group.send(key, note(&key.to_string(), 1, 2), LONG).await.unwrap();
    }
    assert!(counts(&group).await.values().all(|count| *count == 2));
    assert_eq!(group.metrics().panics(), 1);
    assert!(group.stop().await.iter().all(|shard| shard.wrong.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_while_their_shard_panics_again_and_again_are_handled_in_order() {
    let (group, gate) = gated(1, 1000).await;
    group.try_send("a", To::Pass).unwrap();
    for number in 1..=100 {
        group.try_send("a", note("a", 1, number)).unwrap();
        group.try_send("a", To::Panic).unwrap();
    }
    gate.add_permits(1);
    assert_eq!(counts(&group).await, HashMap::from([("a".to_owned(), 100)]));
    assert_eq!(recoveries(&group).await, [100]);
    assert_eq!(group.stop().await[0].wrong, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_are_dropped_and_counted_if_the_policy_says_so() {
    let options = options(1, 100).after_panic(AfterPanic::Drop);
    let (other, gate) = gated(1, 1).await;
    let shared_gate = gate.clone();
    let make = move |_| Ledger { gate: Some(shared_gate.clone()), ..Ledger::default() };
    let group = ActorGroup::start(options, make).await.unwrap();
    group.try_send("a", To::Pass).unwrap();
    group.try_send("a", To::Panic).unwrap();
    for number in 1..=50 {
        group.try_send("a", note("a", 1, number)).unwrap();
    }
    let asking = group.ask("a", To::Counts, LONG);
    let opening = async { gate.add_permits(1) };
    assert_eq!(tokio::join!(asking, opening).0, Err(AskError::Panicked));
    assert_eq!(counts(&group).await, HashMap::new());
    assert_eq!(group.metrics().shards[0].dropped, 51);
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_panics_while_it_recovers_tries_again_and_loses_nothing() {
    let make = |_| Ledger { recoveries_to_fail: 3, ..Ledger::default() };
    let group = ActorGroup::start(options(1, 100), make).await.unwrap();
    group.send("a", note("a", 1, 1), LONG).await.unwrap();
    group.send("a", To::Panic, LONG).await.unwrap();
    group.send("a", note("a", 1, 2), LONG).await.unwrap();
    assert_eq!(counts(&group).await, HashMap::from([("a".to_owned(), 2)]));
    assert_eq!(recoveries(&group).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_shards_have_panicked_can_be_stopped() {
    let group = ledgers(2).await;
    for shard in [0, 1, 1] {
        assert_eq!(group.ask_shard(shard, To::Panic, LONG).await, Err(AskError::Panicked));
    }
    assert_eq!(group.stop().await.len(), 2);
    assert_eq!(group.ask_shard(0, To::Counts, NO_TIME).await, Err(AskError::Stopped));
}
