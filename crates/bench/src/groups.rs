//! How many messages per second a group of actors handles: against the same with a mailbox that takes them one by one.

mod load;
mod targets;
mod typed;

use super::{Runs, steps};
use anyhow::{bail, ensure};
use clap::Args;
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::stats::sample;
use evenfold_cli::config::number;
use futures_util::future::try_join_all;
use load::Load;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;
use targets::{Ask, Channels, Group, Kameo, Ractor, Target};
use tokio_util::sync::CancellationToken;
use typed::Typed;

/// So many per second are wanted of four shards on two processors.
const WANTED: f64 = 5_000_000.0;

/// Clients that ask at the same time.
const CLIENTS: u64 = 64;

#[derive(Debug, Args)]
pub(super) struct GroupsArgs {
    /// How many messages are sent each time: 1000 to 100000000
    #[arg(long, default_value = "2000000", value_name = "N",
        value_parser = |t: &str| number::<u64>(t, &(1000..=100_000_000)))]
    messages: u64,
    /// How many shards the group has: 1 to 1024
    #[arg(long, default_value = "4", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=1024)))]
    shards: u32,
    /// How many tasks send: 1 to 64
    #[arg(long, default_value = "2", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=64)))]
    senders: u64,
    #[command(flatten)]
    pub(super) runs: Runs,
}

impl GroupsArgs {
    pub(super) fn about(&self) -> String {
        let Self { messages, shards, senders, runs } = self;
        format!("{senders} senders, {messages} messages to {shards} actors by key; {}.", runs.describe())
    }
}

/// Messages per second that the actors of a target handle, from the first to the answer that all have been.
async fn sends<T: Target>(load: &Arc<Load>) -> anyhow::Result<f64> {
    let target = T::start(load).await?;
    let started = Instant::now();
    let senders = (0..load.senders).map(|_| {
        let (load, target) = (Arc::clone(load), target.clone());
        tokio::spawn(async move {
            for (number, key) in (1..=load.each).zip(load.keys.iter().cycle()) {
                target.send(&load, key, number).await?;
            }
            anyhow::Ok(())
        })
    });
    for sent in try_join_all(senders).await? {
        sent?;
    }
    let sum = target.sum().await?;
    let elapsed = started.elapsed();
    let expected = load.senders * (load.each * (load.each + 1) / 2);
    ensure!(sum == expected, "messages are lost: their numbers add up to {sum} instead of {expected}");
    Ok(sample(load.each * load.senders) / elapsed.as_secs_f64())
}

/// Questions per second that a target answers to clients that wait for one answer before they ask again.
async fn asks<T: Ask>(load: &Arc<Load>) -> anyhow::Result<f64> {
    let target = T::start(load).await?;
    let each = load.each.div_ceil(CLIENTS);
    let started = Instant::now();
    let clients = (0..CLIENTS).map(|_| {
        let (load, target) = (Arc::clone(load), target.clone());
        tokio::spawn(async move {
            for key in load.keys.iter().cycle().take(usize::try_from(each)?) {
                target.ask(&load, key).await?;
            }
            anyhow::Ok(())
        })
    });
    for asked in try_join_all(clients).await? {
        asked?;
    }
    Ok(sample(each * CLIENTS) / started.elapsed().as_secs_f64())
}

pub(super) async fn run(shutdown: &CancellationToken, args: &GroupsArgs) -> anyhow::Result<Vec<Figure>> {
    shutdown.run_until_cancelled(measure(args)).await.unwrap_or_else(|| bail!("the benchmark was stopped"))
}

async fn measure(args: &GroupsArgs) -> anyhow::Result<Vec<Figure>> {
    let shards = NonZeroU32::new(args.shards).unwrap_or(NonZeroU32::MIN);
    let load = Arc::new(Load::new(args.messages, shards, args.senders));
    let mut rates: [Vec<f64>; 7] = Default::default();
    let steps = steps(args.runs.runs * rates.len() as u64);
    for _ in 0..args.runs.runs {
        for (which, samples) in rates.iter_mut().enumerate() {
            samples.push(match which {
                0 => sends::<Group>(&load).await?,
                1 => sends::<Channels>(&load).await?,
                2 => sends::<Kameo>(&load).await?,
                3 => asks::<Group>(&load).await?,
                4 => asks::<Kameo>(&load).await?,
                5 => asks::<Typed>(&load).await?,
                _ => sends::<Ractor>(&load).await?,
            });
            steps.inc(1);
        }
    }
    steps.finish_and_clear();
    let figure = |what: &str, samples: &[f64], against, yardstick, goal| Figure {
        what: what.to_owned(),
        unit: Unit::PerSecond,
        samples: samples.to_vec(),
        against,
        yardstick,
        goal,
    };
    let [group, channels, kameo, asks, kameo_asks, typed, ractor] = rates;
    let wanted = vec![WANTED; group.len()];
    let mut figures = vec![
        figure("sends", &group, "the goal", wanted, Goal::AtLeast(1.0)),
        figure("sends", &group, "tokio mpsc", channels, Goal::Open),
        figure("sends", &group, "kameo", kameo, Goal::Open),
        figure("asks, 64 clients", &asks, "kameo", kameo_asks.clone(), Goal::Open),
        // An ask may take 1.3 times as long.
        figure("typed actors: asks", &typed, "kameo", kameo_asks, Goal::AtLeast(0.77)),
    ];
    // Not part of every build.
    figures.push(figure("sends", &group, "ractor", ractor, Goal::Open));
    Ok(figures)
}
