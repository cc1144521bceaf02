//! How fast a projection is, as ratios to what the database can do at best, measured in the same run; and what any
//! benchmark needs.

pub mod arena;
pub mod catch_up;
pub mod child;
pub mod report;
mod runs;
pub mod sample;
pub mod stats;
pub mod yardsticks;

pub use runs::{Bench, Runs, steps};

use super::session::Session;
use super::{Global, signals};
use clap::{Args, Subcommand};

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
