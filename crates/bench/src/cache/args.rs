//! What the benchmark of the cache takes, and what a figure of it is made of.

use crate::Runs;
use clap::Args;
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::config::number;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    /// How long each thing is measured, in seconds: 1 to 3600
    #[arg(long, default_value = "3", value_name = "SECONDS", value_parser = |t: &str| number::<u64>(t, &(1..=3600)))]
    seconds: u64,
    /// How many connections send requests, each one after the other: 1 to 4000
    #[arg(long, default_value = "256", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=4000)))]
    pub(super) connections: u32,
    /// How many values are put to see what memory they take: 100000 to 1000000000
    #[arg(long, default_value = "10000000", value_name = "N",
        value_parser = |t: &str| number::<u64>(t, &(100_000..=1_000_000_000)))]
    pub(super) writes: u64,
    #[command(flatten)]
    pub(crate) runs: Runs,
}

impl CacheArgs {
    pub(crate) fn about(&self) -> String {
        let Self { seconds, connections, runs, .. } = self;
        format!("{seconds} s each, {connections} connections over loopback; {}.", runs.describe())
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

pub(super) fn figure(
    what: &str,
    unit: Unit,
    samples: &[f64],
    against: &'static str,
    yardstick: Vec<f64>,
    goal: Goal,
) -> Figure {
    Figure { what: what.to_owned(), unit, samples: samples.to_vec(), against, yardstick, goal }
}
