//! How fast it is, as ratios to what the database can do at best, measured in the same run.

mod append;
mod arena;
mod cache;
mod catch_up;
mod child;
mod client;
mod counter;
mod cpu;
mod fan_out;
mod groups;
mod latency;
mod report;
mod sample;
mod schedule;
mod stamped;
mod stats;
mod yardsticks;

use super::output::BARS;
use super::session::Session;
use super::{Global, signals};
use clap::{Args, Subcommand};
use evenfold::config::number;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    #[command(flatten)]
    OfDatabase(OfDatabase),
    /// Tell and ask a group of actors: against mailboxes that take one message after the other; needs no database
    Groups(groups::GroupsArgs),
    /// Read and write the cache, in the process and over HTTP: against other caches, and a handler that does nothing
    Cache(cache::CacheArgs),
    /// A handler that answers the same whatever it is asked: what `counter` compares to, as a process of its own
    #[command(hide = true)]
    Constant,
}

#[derive(Debug, Subcommand)]
enum OfDatabase {
    /// Apply a whole log: against reading it, and against one SQL statement that folds it
    CatchUp(catch_up::CatchUpArgs),
    /// From the commit of an event to that of the counter: against a single INSERT
    Latency(latency::LatencyArgs),
    /// Append one event per transaction: against single INSERTs
    Append(append::AppendArgs),
    /// What many worker processes cost the database: against one
    FanOut(fan_out::FanOutArgs),
    /// Count over HTTP, in memory, in the log, and on several nodes: against a handler that does nothing
    Counter(counter::CounterArgs),
}

/// What every benchmark takes.
#[derive(Debug, Clone, Copy, Args)]
struct Runs {
    /// How often each thing is measured, in turn with what it is compared to; medians count: 1 to 1000
    #[arg(long, default_value = "5", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1000)))]
    runs: u64,
    /// One JSON object per figure, one per line
    #[arg(long)]
    json: bool,
}

impl Runs {
    fn told(self) -> String {
        match self.runs {
            1 => "one run".to_owned(),
            runs => format!("medians of {runs} runs"),
        }
    }
}

/// Where a benchmark runs.
#[derive(Clone, Copy)]
struct Bench<'a> {
    session: &'a Session,
    shutdown: &'a CancellationToken,
}

pub(super) async fn run(global: &Global, args: BenchArgs) -> anyhow::Result<()> {
    match &args.benchmark {
        Benchmark::OfDatabase(benchmark) => run_on_database(global, benchmark).await,
        Benchmark::Groups(args) => {
            let figures = groups::run(&signals::shutdown()?, args).await?;
            report::show("groups", &args.about(), &figures, args.runs.json)
        }
        Benchmark::Cache(args) => {
            let figures = cache::run(&signals::shutdown()?, args).await?;
            report::show("cache", &args.about(), &figures, args.runs.json)
        }
        Benchmark::Constant => counter::serve_constant(signals::shutdown()?).await,
    }
}

async fn run_on_database(global: &Global, benchmark: &OfDatabase) -> anyhow::Result<()> {
    match benchmark {
        OfDatabase::CatchUp(args) => args.check()?,
        OfDatabase::Latency(args) => args.check()?,
        OfDatabase::Append(_) | OfDatabase::Counter(_) => {}
        OfDatabase::FanOut(args) => args.check()?,
    }
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let outcome = measure(Bench { session: &session, shutdown: &shutdown }, benchmark).await;
    session.close().await?;
    outcome
}

async fn measure(bench: Bench<'_>, benchmark: &OfDatabase) -> anyhow::Result<()> {
    match benchmark {
        OfDatabase::CatchUp(args) => {
            let figures = catch_up::run(bench, args).await?;
            report::show("catch-up", &args.about(), &figures, args.runs.json)
        }
        OfDatabase::Latency(args) => {
            let figures = latency::run(bench, args).await?;
            report::show("latency", &args.about(), &figures, args.runs.json)
        }
        OfDatabase::Append(args) => {
            let figures = append::run(bench, args).await?;
            report::show("append", &args.about(), &figures, args.runs.json)
        }
        OfDatabase::FanOut(args) => {
            let figures = fan_out::run(bench, args).await?;
            report::show("fan-out", &args.about(&figures), &figures, args.runs.json)
        }
        OfDatabase::Counter(args) => {
            let figures = counter::run(bench, args).await?;
            report::show("counter", &args.about(&figures), &figures, args.runs.json)
        }
    }
}

/// A progress bar of the measurements, within 80 columns.
fn steps(count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12} [{bar:24}] {pos}/{len}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let bar = BARS.add(ProgressBar::new(count).with_style(style).with_prefix("measuring"));
    bar.tick();
    bar
}
