//! Counters divided among the shards of an actor group: sent to, asked, resized and broken, while the sums stay right.
//! `cargo run --release --example actor_groups_sharding -- --shard-count 8`

use evenfold_cli::config::{Parsed, Sharding};
use evenfold_groups::KeyHash;
use evenfold_groups::{ActorGroup, AskError, GroupOptions, Missing, Resizable, SendError, Shard, top, total};
use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

type BoxError = Box<dyn Error + Send + Sync>;

const COUNTERS: u64 = 10_000;
const SENDERS: u64 = 4;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Counters {
    values: HashMap<String, u64>,
}

enum Message {
    Add { counter: String, amount: u64 },
    Value { counter: String },
    Sum,
    Greatest { count: usize },
    Fail,
}

enum CounterReply {
    Number(u64),
    Counters(Vec<(u64, String)>),
}

impl CounterReply {
    fn number(self) -> u64 {
        if let Self::Number(number) = self { number } else { 0 }
    }

    fn counters(self) -> Vec<(u64, String)> {
        if let Self::Counters(counters) = self { counters } else { Vec::new() }
    }
}

impl Shard for Counters {
    type Message = Message;
    type Reply = CounterReply;

    async fn handle(&mut self, message: Message) -> CounterReply {
        match message {
            Message::Add { counter, amount } => {
                let value = self.values.entry(counter).or_default();
                *value += amount;
                CounterReply::Number(*value)
            }
            Message::Value { counter } => CounterReply::Number(self.values.get(&counter).copied().unwrap_or_default()),
            Message::Sum => CounterReply::Number(self.values.values().sum()),
            Message::Greatest { count } => {
                let all = self.values.iter().map(|(counter, value)| (*value, counter.clone())).collect();
                CounterReply::Counters(top(count)(Vec::new(), all))
            }
            #[expect(clippy::panic, reason = "to show what happens then")]
            Message::Fail => panic!("asked to fail"),
        }
    }

    /// A counter is changed in one step, so none is half-way.
    async fn recover(&mut self) {}
}

impl Resizable for Counters {
    type Item = (String, u64);

    fn give(&mut self, leaves: &(dyn Fn(KeyHash) -> bool + Send + Sync)) -> Vec<(KeyHash, Self::Item)> {
        let leaving = self.values.extract_if(|counter, _| leaves(KeyHash::from(counter)));
        leaving.map(|item| (KeyHash::from(&item.0), item)).collect()
    }

    fn take(&mut self, items: Vec<(KeyHash, Self::Item)>) {
        self.values.extend(items.into_iter().map(|(_, item)| item));
    }
}

/// Adds so many times to all counters in turn, from several senders at once. Gives the sum of what was added.
async fn add(group: &ActorGroup<Counters>, rounds: u64) -> Result<u64, BoxError> {
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let group = group.clone();
        senders.spawn(async move {
            let mut sum = 0;
            for number in (0..rounds * COUNTERS).filter(|number| number % SENDERS == sender) {
                let counter = format!("counter-{:05}", number % COUNTERS);
                let amount = number % 7;
                group.send(&counter.clone(), Message::Add { counter, amount }, SECOND * 10).await?;
                sum += amount;
            }
            Ok::<_, SendError<Message>>(sum)
        });
    }
    let mut sum = 0;
    while let Some(sent) = senders.join_next().await {
        sum += sent??;
    }
    Ok(sum)
}

async fn sum(group: &ActorGroup<Counters>) -> Result<u64, BoxError> {
    let merge = |sum, reply: CounterReply| total(sum, reply.number());
    Ok(group.ask_all(|_| Message::Sum, 0, merge, SECOND * 10, Missing::Fail).await?.value)
}

fn check(what: &str, is_so: bool) -> Result<(), BoxError> {
    if is_so { Ok(()) } else { Err(format!("this does not hold: {what}").into()) }
}

async fn show_questions(group: &ActorGroup<Counters>) -> Result<(), BoxError> {
    let counter = "counter-00007".to_owned();
    let value = group.ask(&counter.clone(), Message::Value { counter }, SECOND).await?.number();
    println!("ask       counter-00007, of {}, is {value}", shown(group.shard_of("counter-00007")));
    let mut greatest = top(3);
    let merge = |best, reply: CounterReply| greatest(best, reply.counters());
    let best = group.ask_all(|_| Message::Greatest { count: 3 }, Vec::new(), merge, SECOND, Missing::Partial).await?;
    let names: Vec<String> = best.value.iter().map(|(value, counter)| format!("{counter} {value}")).collect();
    println!("ask all   of {} shards, the three greatest:", best.answered);
    println!("          {}", names.join(", "));
    check("the greatest come in order", best.value.is_sorted_by(|a, b| a.0 >= b.0) && best.value.len() == 3)
}

async fn show_resizes(group: &ActorGroup<Counters>) -> Result<u64, BoxError> {
    let before = group.shards();
    let changes = async {
        for shards in [before + 2, 2, before] {
            group.resize(shards).await?;
        }
        Ok::<_, BoxError>(())
    };
    let (sum, outcome) = tokio::join!(add(group, 10), changes);
    outcome?;
    let messages = 10 * COUNTERS;
    println!("resize    {before} to {} to 2 to {before} shards while {messages} messages were sent", before + 2);
    sum
}

/// Which keys move when the number of shards changes, and that all others stay.
async fn show_moves(group: &ActorGroup<Counters>) -> Result<(), BoxError> {
    let shards_of = || -> Vec<Option<u32>> {
        let counters = (0..COUNTERS).map(|number| format!("counter-{number:05}"));
        counters.map(|counter| group.shard_of(&counter)).collect()
    };
    let (few, before) = (group.shards(), shards_of());
    group.resize(few + 1).await?;
    let after = shards_of();
    let moved: Vec<_> = before.iter().zip(&after).filter(|(from, to)| from != to).collect();
    let (all, count, many) = (before.len(), moved.len(), few + 1);
    println!("moved     {count} of {all} keys by a resize from {few} to {many} shards (expected: 1 in {many}),");
    println!(
        "          all of them to the new shard, {few}; counter-00007: {} -> {}",
        shown(before[7]),
        shown(after[7])
    );
    check("keys move to the new shard alone", moved.iter().all(|(_, to)| **to == Some(few)))?;
    group.resize(few).await?;
    check("and back", shards_of() == before)
}

fn shown(shard: Option<u32>) -> String {
    shard.map_or("no shard".to_owned(), |shard| format!("shard {shard}"))
}

async fn show_panic(group: &ActorGroup<Counters>) -> Result<(), BoxError> {
    let before = sum(group).await?;
    let answer = group.ask("counter-00001", Message::Fail, SECOND).await;
    check("whoever asked gets an error", matches!(answer, Err(AskError::Panicked)))?;
    check("a panic changes no counter", sum(group).await? == before)?;
    println!("panic     a shard was restarted, its counters are as before");
    Ok(())
}

async fn show_full() -> Result<(), BoxError> {
    let options = GroupOptions::default().shards(1).mailbox(3);
    let group = ActorGroup::start(options, |_| Counters::default()).await?;
    let message = || Message::Add { counter: "c".into(), amount: 1 };
    let accepted = (0..10).take_while(|_| group.try_send("c", message()).is_ok()).count();
    println!("full      after {accepted} messages at once (mailbox of 3); whoever waits gets room");
    let more = group.send("c", message(), SECOND).await;
    check("room comes", more.is_ok())?;
    let sum: u64 = group.stop().await.iter().flat_map(|shard| shard.values.values()).sum();
    check("all that was accepted is handled", sum == accepted as u64 + 1)
}

/// The plain story: a key, its shard, and a sum over all.
async fn show_keys(sharding: &Sharding) -> Result<(), BoxError> {
    let group = ActorGroup::start(sharding.options(), |_| Counters::default()).await?;
    println!("start     {}, {} shards", sharding.group_id, group.shards());
    for (customer, amount) in [("ada", 3), ("bob", 4), ("eve", 5)] {
        let counter = customer.to_owned();
        let shard = shown(group.shard_of(customer));
        let value = group.ask(customer, Message::Add { counter, amount }, SECOND).await?.number();
        println!("key       {customer} -> {shard} of {}, the same until a resize; counter at {value}", group.shards());
    }
    let sum = sum(&group).await?;
    println!("sum       over all shards: {sum}");
    check("the sum over all is that of the three", sum == 12)?;
    group.stop().await;
    Ok(())
}

async fn show(sharding: Sharding) -> Result<(), BoxError> {
    show_keys(&sharding).await?;
    let group = ActorGroup::start(sharding.options(), |_| Counters::default()).await?;
    let began = Instant::now();
    let mut added = add(&group, 100).await?;
    check("the sum is what was added", sum(&group).await? == added)?;
    let elapsed = began.elapsed();
    let messages = 100 * COUNTERS;
    println!("send      {messages} messages from {SENDERS} senders, in {elapsed:.2?}; the sum is right");
    show_questions(&group).await?;
    added += show_resizes(&group).await?;
    check("nothing is lost or doubled by a resize", sum(&group).await? == added)?;
    show_moves(&group).await?;
    added += add(&group, 10).await?;
    check("each has what was sent about it", sum(&group).await? == added)?;
    show_panic(&group).await?;
    show_full().await?;
    println!("\n{}", group.metrics());
    let states = group.stop().await;
    check("the shards have it all", states.iter().flat_map(|shard| shard.values.values()).sum::<u64>() == added)?;
    println!("All sums are what was sent: {added}.");
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    // The panic that is shown would print a backtrace in the middle of the screen.
    std::panic::set_hook(Box::new(|_| ()));
    let outcome = match Sharding::from_process() {
        Ok(Parsed::Run(sharding)) => show(sharding).await,
        Ok(Parsed::Show(text)) => {
            println!("{text}");
            Ok(())
        }
        Err(error) => Err(error.into()),
    };
    if let Err(error) = outcome {
        eprintln!("actor_groups_sharding: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
