//! Questions that are handled in the task of whoever asks.

use super::{LONG, LedgerReply, NO_TIME, To, gated, ledgers, note};
use crate::support::{SOON, wait_until};
use evenfold_groups::{AskError, Missing, SendError};

/// Asks in a task of its own; whether the question was handled in that.
async fn asks_itself(group: &super::ActorGroup<super::Ledger>) -> bool {
    let group = group.clone();
    let asking = tokio::spawn(async move { group.ask("a", To::Task, LONG).await.unwrap() });
    let id = asking.id();
    asking.await.unwrap() == LedgerReply::Task(Some(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_a_shard_that_rests_is_handled_in_the_task_of_whoever_asks() {
    let group = ledgers(1).await;
    // Its actor may have to start first.
    wait_until("its actor rests", SOON, async || asks_itself(&group).await).await;
    let busy = group.metrics().shards[0].busy;
    for _ in 0..100 {
        assert!(asks_itself(&group).await);
    }
    let metrics = group.metrics();
    assert!(metrics.handled() >= 101 && metrics.shards[0].busy > busy, "{metrics}");
    // All shards are asked side by side, by their actors.
    let task = |_, reply| reply;
    let answer = group.ask_all(|_| To::Task, LedgerReply::Nothing, task, LONG, Missing::Fail).await.unwrap().value;
    assert!(matches!(answer, LedgerReply::Task(Some(id)) if Some(id) != tokio::task::try_id()), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_handed_to_a_shard_is_handled_at_once_or_waits_or_comes_back() {
    let (group, gate) = gated(1, 2).await;
    group.hand_to_shard(0, note("a", 1, 1)).await.unwrap();
    wait_until("the first one", SOON, async || group.metrics().handled() == 1).await;
    group.hand_to_shard(0, To::Pass).await.unwrap();
    group.hand_to_shard(0, note("a", 1, 2)).await.unwrap();
    let refused = group.hand_to_shard(0, note("a", 1, 3)).await.unwrap_err();
    assert!(matches!(refused, SendError::Full(message) if message == note("a", 1, 3)));
    gate.add_permits(1);
    assert_eq!(super::counts(&group).await["a"], 2);
    group.hand_to_shard(0, note("a", 1, 3)).await.unwrap();
    assert_eq!(group.stop().await[0].wrong, [""; 0]);
    assert!(matches!(group.hand_to_shard(0, To::Pass).await, Err(SendError::Stopped(To::Pass))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_overtakes_nothing_that_waits() {
    let (group, gate) = gated(1, 100).await;
    group.try_send("a", To::Pass).unwrap();
    group.try_send("a", note("a", 1, 1)).unwrap();
    let asking = group.ask("a", note("a", 1, 2), LONG);
    let opening = async { gate.add_permits(1) };
    assert_eq!(tokio::join!(asking, opening).0, Ok(LedgerReply::Nothing));
    // One that its shard can't handle at once waits for its turn as well.
    gate.add_permits(1);
    group.try_send("a", note("a", 1, 3)).unwrap();
    assert_eq!(group.ask("a", To::Pass, LONG).await, Ok(LedgerReply::Nothing));
    assert_eq!(group.stop().await[0].wrong, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_panics_in_the_task_of_whoever_asks_recovers_before_its_next_message() {
    let group = ledgers(1).await;
    for times in 1..=50 {
        let panicking = group.clone();
        let asked = tokio::spawn(async move { panicking.ask("a", To::Panic, LONG).await });
        assert_eq!(asked.await.unwrap(), Err(AskError::Panicked), "who asks does not panic");
        assert_eq!(group.ask("a", To::Recovered, LONG).await, Ok(LedgerReply::Recovered(times)));
    }
    assert_eq!(group.metrics().panics(), 50);
    // Also where there is none.
    assert_eq!(group.ask("a", To::Panic, LONG).await, Err(AskError::Panicked));
    let states = group.stop().await;
    assert_eq!(states[0].recovered, 51);
    assert_eq!(group.ask("a", To::Recovered, NO_TIME).await, Err(AskError::Stopped));
}

#[tokio::test]
async fn who_asks_again_and_again_lets_others_have_the_thread() {
    let group = ledgers(1).await;
    let asking = tokio::spawn(async move {
        loop {
            group.ask("a", To::Counts, LONG).await.unwrap();
        }
    });
    // There is one thread: without a turn for this task it would never end.
    tokio::spawn(async {}).await.unwrap();
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_and_messages_of_many_are_handled_one_at_a_time_and_none_is_left_behind() {
    const SENDERS: u32 = 16;
    let group = ledgers(1).await;
    let send = |sender| {
        let group = group.clone();
        tokio::spawn(async move {
            for number in 1..=2_000 {
                if fastrand::u8(..4) == 0 {
                    group.send("a", note("a", sender, number), LONG).await.unwrap();
                } else {
                    group.ask("a", note("a", sender, number), LONG).await.unwrap();
                }
            }
        })
    };
    for sent in (0..SENDERS).map(send).collect::<Vec<_>>() {
        sent.await.unwrap();
    }
    assert_eq!(super::counts(&group).await["a"], 32_000);
    assert_eq!(group.stop().await[0].wrong, [""; 0]);
}
