//! How fast a projection is, as ratios to what the database can do at best, measured in the same run; and what any benchmark
//! needs.

pub mod arena;
pub mod catch_up;
pub mod child;
pub mod report;
pub mod sample;
pub mod stats;
pub mod yardsticks;

use super::output::BARS;
use super::session::Session;
use super::{Global, signals};
use crate::config::number;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Apply a whole log: against reading it, and against one SQL statement that folds it
    CatchUp(catch_up::CatchUpArgs),
}

/// What every benchmark takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Runs {
    /// How often each thing is measured, in turn with what it is compared to; medians count: 1 to 1000
    #[arg(long, default_value = "5", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1000)))]
    pub runs: u64,
    /// One JSON object per figure, one per line
    #[arg(long)]
    pub json: bool,
}

impl Runs {
    #[must_use]
    pub fn told(self) -> String {
        match self.runs {
            1 => "one run".to_owned(),
            runs => format!("medians of {runs} runs"),
        }
    }
}

/// Where a benchmark runs.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    pub session: &'a Session,
    pub shutdown: &'a CancellationToken,
}

pub(super) async fn run(global: &Global, args: BenchArgs) -> anyhow::Result<()> {
    let Benchmark::CatchUp(args) = args.benchmark;
    args.check()?;
    on_database(global, async |bench| catch_up::show(bench, &args).await).await
}

/// Has a benchmark run on the database that was asked for.
pub async fn on_database(
    global: &Global,
    measure: impl AsyncFnOnce(Bench<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let outcome = measure(Bench { session: &session, shutdown: &shutdown }).await;
    session.close().await?;
    outcome
}

/// A progress bar of the measurements, within 80 columns.
pub fn steps(count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12} [{bar:24}] {pos}/{len}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let bar = BARS.add(ProgressBar::new(count).with_style(style).with_prefix("measuring"));
    bar.tick();
    bar
}
