//! Actor groups: routing, full mailboxes, questions to one shard and to all, and how a group ends.

mod at_once;
mod figures;
mod panics;
mod resize;

use crate::support::{SOON, wait_until};
use evenfold_groups::KeyHash;
use evenfold_groups::{
    ActorGroup, AskError, GatherError, GroupOptions, GroupOptionsError, MAX_SHARDS, Missing, Resizable, SendError,
    Shard, top, total,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longer than any of these tests takes.
pub(super) const LONG: Duration = Duration::from_secs(30);
pub(super) const NO_TIME: Duration = Duration::from_millis(1);

/// What each sender has sent about each key: its last number, and how many there were.
#[derive(Default)]
pub(super) struct Ledger {
    keys: HashMap<String, HashMap<u32, (u64, u64)>>,
    /// Numbers that came too early, too late or twice.
    wrong: Vec<String>,
    /// Shut, it holds up whoever passes.
    gate: Option<Arc<Semaphore>>,
    busy: Arc<AtomicBool>,
    recovered: u64,
    recoveries_to_fail: u64,
    gives_to_fail: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum To {
    Note {
        key: String,
        sender: u32,
        number: u64,
    },
    /// Waits until the gate lets it pass.
    Pass,
    Task,
    Panic,
    Counts,
    Recovered,
}

#[derive(Debug, PartialEq)]
pub(super) enum LedgerReply {
    Nothing,
    Counts(Vec<(u64, String)>),
    Recovered(u64),
    /// Who has handled the message.
    Task(Option<tokio::task::Id>),
}

impl Shard for Ledger {
    type Message = To;
    type Reply = LedgerReply;

    async fn handle(&mut self, message: To) -> LedgerReply {
        let _alone = Alone::enter(&self.busy);
        if message == To::Pass {
            let gate = self.gate.clone().expect("a gate");
            gate.acquire().await.expect("an open gate").forget();
        }
        self.answer(message)
    }

    fn handle_now(&mut self, message: To) -> Result<LedgerReply, To> {
        let _alone = Alone::enter(&self.busy);
        if message == To::Pass { Err(message) } else { Ok(self.answer(message)) }
    }

    async fn recover(&mut self) {
        if self.recoveries_to_fail > 0 {
            self.recoveries_to_fail -= 1;
            panic!("set not to recover");
        }
        self.recovered += 1;
    }
}

impl Ledger {
    fn answer(&mut self, message: To) -> LedgerReply {
        match message {
            To::Note { key, sender, number } => {
                let (last, count) = self.keys.entry(key.clone()).or_default().entry(sender).or_default();
                if number != *last + 1 {
                    self.wrong.push(format!("{key} of {sender}: {number} after {last}"));
                }
                (*last, *count) = (number, *count + 1);
            }
            To::Pass => {}
            To::Task => return LedgerReply::Task(tokio::task::try_id()),
            To::Panic => panic!("asked to panic"),
            To::Counts => {
                let count = |of: &HashMap<u32, (u64, u64)>| of.values().map(|(_, count)| count).sum();
                return LedgerReply::Counts(self.keys.iter().map(|(key, of)| (count(of), key.clone())).collect());
            }
            To::Recovered => return LedgerReply::Recovered(self.recovered),
        }
        LedgerReply::Nothing
    }
}

/// Whoever handles a message of a shard. There is one at a time.
struct Alone(Arc<AtomicBool>);

impl Alone {
    fn enter(busy: &Arc<AtomicBool>) -> Self {
        assert!(!busy.swap(true, Ordering::SeqCst), "two handle messages of one shard at the same time");
        Self(Arc::clone(busy))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Resizable for Ledger {
    type Item = (String, HashMap<u32, (u64, u64)>);

    fn give(&mut self, leaves: &(dyn Fn(KeyHash) -> bool + Send + Sync)) -> Vec<(KeyHash, Self::Item)> {
        if self.gives_to_fail > 0 {
            self.gives_to_fail -= 1;
            panic!("set not to give");
        }
        let leaving: Vec<_> = self.keys.keys().filter(|key| leaves(KeyHash::from(*key))).cloned().collect();
        leaving.into_iter().filter_map(|key| Some((KeyHash::from(&key), self.keys.remove_entry(&key)?))).collect()
    }

    fn take(&mut self, items: Vec<(KeyHash, Self::Item)>) {
        self.keys.extend(items.into_iter().map(|(_, item)| item));
    }
}

pub(super) fn note(key: &str, sender: u32, number: u64) -> To {
    To::Note { key: key.to_owned(), sender, number }
}

pub(super) fn options(shards: u32, mailbox: usize) -> GroupOptions {
    GroupOptions::default().id("test".into()).shards(shards).mailbox(mailbox)
}

pub(super) async fn ledgers(shards: u32) -> ActorGroup<Ledger> {
    ActorGroup::start(options(shards, 1024), |_| Ledger::default()).await.unwrap()
}

/// A group whose shards wait at one gate when they get `Pass`, and a mailbox of this size.
pub(super) async fn gated(shards: u32, mailbox: usize) -> (ActorGroup<Ledger>, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let shared_gate = Arc::clone(&gate);
    let make = move |_| Ledger { gate: Some(Arc::clone(&shared_gate)), ..Ledger::default() };
    (ActorGroup::start(options(shards, mailbox), make).await.unwrap(), gate)
}

/// How many notes there are of each key, from all shards.
pub(super) async fn counts(group: &ActorGroup<Ledger>) -> HashMap<String, u64> {
    let states = group.ask_all(|_| To::Counts, Vec::new(), merge, LONG, Missing::Fail).await.unwrap().value;
    let mut counts = HashMap::new();
    for (count, key) in states {
        assert_eq!(counts.insert(key, count), None, "two shards have the same key");
    }
    counts
}

fn merge(mut all: Vec<(u64, String)>, reply: LedgerReply) -> Vec<(u64, String)> {
    let LedgerReply::Counts(more) = reply else { panic!("{reply:?}") };
    all.extend(more);
    all
}

fn counted(reply: LedgerReply) -> Vec<(u64, String)> {
    merge(Vec::new(), reply)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_has_one_shard_and_its_messages_are_handled_in_order() {
    let group = ledgers(4).await;
    for number in 1..=100 {
        for key in 0..50 {
            group.send(&format!("key {key}"), note(&format!("key {key}"), 1, number), LONG).await.unwrap();
        }
    }
    let counts = counts(&group).await;
    assert_eq!(counts.len(), 50);
    assert!(counts.values().all(|count| *count == 100));
    for shard in group.stop().await {
        assert_eq!(shard.wrong, [""; 0]);
        assert!(!shard.keys.is_empty(), "a shard has no keys");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_is_reported_or_waited_for_as_the_caller_wants() {
    let (group, gate) = gated(1, 3).await;
    group.try_send("a", To::Pass).unwrap();
    for number in 1..=2 {
        group.try_send("a", note("a", 1, number)).unwrap();
    }
    assert_eq!(group.metrics().depth(), 3);

    assert_eq!(group.try_send("a", note("a", 1, 3)), Err(SendError::Full(note("a", 1, 3))));
    assert_eq!(group.send("a", note("a", 1, 3), NO_TIME).await, Err(SendError::Full(note("a", 1, 3))));
    assert_eq!(group.try_ask("a", To::Counts, LONG).await, Err(AskError::Full));
    assert_eq!(group.ask("a", To::Counts, NO_TIME).await, Err(AskError::Full));

    let waiting: Vec<_> = (0..10)
        .map(|sender| {
            let group = group.clone();
            tokio::spawn(async move {
                for number in 1..=5 {
                    group.send("b", note("b", sender, number), LONG).await.unwrap();
                }
            })
        })
        .collect();
    gate.add_permits(1);
    for sender in waiting {
        sender.await.unwrap();
    }
    let shards = group.stop().await;
    assert_eq!(shards[0].wrong, [""; 0]);
    assert_eq!(shards[0].keys["b"].len(), 10);
    assert!(shards[0].keys["b"].values().all(|of| *of == (5, 5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_times_out_and_is_left_out_if_its_turn_has_not_come() {
    let (group, gate) = gated(1, 100).await;
    assert_eq!(group.ask("a", To::Pass, NO_TIME).await, Err(AskError::TimedOut));
    assert_eq!(group.ask("a", note("a", 1, 1), NO_TIME).await, Err(AskError::TimedOut));
    gate.add_permits(2);
    assert_eq!(group.ask("a", note("a", 1, 1), LONG).await, Ok(LedgerReply::Nothing));
    assert_eq!(counts(&group).await, HashMap::from([("a".to_owned(), 1)]));
    assert!(group.metrics().shards[0].abandoned >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_shards_answer_together_with_totals_and_the_greatest() {
    let group = ledgers(5).await;
    for key in 1..=100_u32 {
        for number in 1..=u64::from(key) {
            group.send(&key.to_string(), note(&key.to_string(), 1, number), LONG).await.unwrap();
        }
    }
    let sum = |reply| counted(reply).into_iter().map(|(count, _)| count).sum::<u64>();
    let all = group.ask_all(|_| To::Counts, 0, |all, reply| total(all, sum(reply)), LONG, Missing::Fail).await.unwrap();
    assert_eq!((all.value, all.answered, all.missing), (5050, 5, vec![]));

    let mut greatest = top(3);
    let best =
        group.ask_all(|_| To::Counts, Vec::new(), |all, reply| greatest(all, counted(reply)), LONG, Missing::Fail);
    let expected = [100, 99, 98].map(|key: u64| (key, key.to_string()));
    assert_eq!(best.await.unwrap().value, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_do_not_answer_in_time_fail_the_question_or_are_named() {
    let (group, gate) = gated(3, 10).await;
    for key in 0..10_u64 {
        group.send(key, note(&key.to_string(), 1, 1), LONG).await.unwrap();
    }
    let all = counts(&group).await.len();
    let ask_while_shard_1_waits = async |policy| {
        let message = |shard| if shard == 1 { To::Pass } else { To::Counts };
        let merge = |sum, reply| sum + if reply == LedgerReply::Nothing { 0 } else { counted(reply).len() };
        group.ask_all(message, 0, merge, Duration::from_millis(300), policy).await
    };
    assert_eq!(ask_while_shard_1_waits(Missing::Fail).await, Err(GatherError::Missing { missing: vec![1] }));
    let partial = ask_while_shard_1_waits(Missing::Partial).await.unwrap();
    assert_eq!((partial.answered, partial.missing), (2, vec![1]));
    assert!(partial.value < all);
    gate.add_permits(10);
    assert_eq!(counts(&group).await.len(), all);
}

#[tokio::test]
async fn numbers_out_of_their_limits_are_refused_in_a_sentence() {
    let start = async |shards, mailbox| {
        let group = ActorGroup::start(options(shards, mailbox), |_| Ledger::default()).await;
        group.map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(start(0, 1).await, "an actor group can't have 0 shards: give it 1 to 1024");
    assert_eq!(start(MAX_SHARDS + 1, 1).await, "an actor group can't have 1025 shards: give it 1 to 1024");
    assert_eq!(start(1, 0).await, "the mailbox of a shard can't hold 0 messages: give it 1 to 1048576");
    let group = ledgers(2).await;
    let refused = group.resize(0).await.unwrap_err();
    assert_eq!(refused, GroupOptionsError::Shards(0).into());
    assert_eq!(group.shards(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_stopped_handles_what_it_accepted_and_accepts_no_more() {
    let (group, gate) = gated(1, 100).await;
    group.try_send("a", To::Pass).unwrap();
    for number in 1..=50 {
        group.try_send("a", note("a", 1, number)).unwrap();
    }
    let stopping = tokio::spawn({
        let group = group.clone();
        async move { group.stop().await }
    });
    wait_until("the end", SOON, async || group.try_send("b", To::Counts).is_err()).await;
    gate.add_permits(1);
    let shards = stopping.await.unwrap();
    assert_eq!(shards[0].keys["a"][&1], (50, 50));

    assert_eq!(group.try_send("a", To::Counts), Err(SendError::Stopped(To::Counts)));
    assert_eq!(group.ask("a", To::Counts, LONG).await, Err(AskError::Stopped));
    let gathered = group.ask_all(|_| To::Counts, 0, |sum, _| sum, LONG, Missing::Partial).await;
    assert_eq!(gathered, Err(GatherError::Stopped));
    assert!(group.resize(3).await.is_err());
    assert!(group.stop().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actors_end_with_the_last_clone_after_what_was_accepted() {
    let (group, gate) = gated(2, 10).await;
    let clone = group.clone();
    for key in 0..10_u64 {
        clone.send(key, To::Pass, LONG).await.unwrap();
    }
    drop((group, clone));
    gate.add_permits(10);
    // Each state has a handle of the gate, the factory another one.
    wait_until("all states are gone", SOON, async || Arc::strong_count(&gate) == 1).await;
    assert_eq!(gate.available_permits(), 0, "what was accepted has been handled");
}
