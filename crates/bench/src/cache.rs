//! How fast the cache is: in the process against other caches, over HTTP against a handler that does nothing, and whether it
//! keeps within its memory.

mod http;
mod memory;
mod reads;

use super::{Runs, steps};
use anyhow::bail;
use clap::Args;
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::config::number;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    /// How long each thing is measured, in seconds: 1 to 3600
    #[arg(long, default_value = "3", value_name = "SECONDS", value_parser = |t: &str| number::<u64>(t, &(1..=3600)))]
    seconds: u64,
    /// How many connections send requests, each one after the other: 1 to 4000
    #[arg(long, default_value = "256", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=4000)))]
    connections: u32,
    /// How many values are put to see what memory they take: 100000 to 1000000000
    #[arg(long, default_value = "10000000", value_name = "N",
        value_parser = |t: &str| number::<u64>(t, &(100_000..=1_000_000_000)))]
    writes: u64,
    #[command(flatten)]
    pub(super) runs: Runs,
}

impl CacheArgs {
    pub(super) fn about(&self) -> String {
        let Self { seconds, connections, runs, .. } = self;
        format!("{seconds} s each, {connections} connections over loopback; {}.", runs.told())
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

pub(super) async fn run(shutdown: &CancellationToken, args: &CacheArgs) -> anyhow::Result<Vec<Figure>> {
    shutdown.run_until_cancelled(measure(args)).await.unwrap_or_else(|| bail!("the benchmark was stopped"))
}

async fn measure(args: &CacheArgs) -> anyhow::Result<Vec<Figure>> {
    let steps = steps(1 + args.runs.runs * (http::STEPS + reads::STEPS));
    // Before anything else has used memory.
    let memory = memory::measure(args.writes).await?;
    steps.inc(1);
    let mut figures = reads::measure(args, &steps).await?;
    figures.extend(http::measure(args, &steps).await?);
    figures.extend(memory);
    steps.finish_and_clear();
    Ok(figures)
}

fn figure(what: &str, unit: Unit, samples: &[f64], against: &'static str, yardstick: Vec<f64>, goal: Goal) -> Figure {
    Figure { what: what.to_owned(), unit, samples: samples.to_vec(), against, yardstick, goal }
}
