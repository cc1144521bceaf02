//! How long it takes from the commit of an append to that of the rows that a file makes of it.

use super::super::latency::latencies;
use super::super::schedule::{Destination, Schedule};
use super::figures::SqlSamples;
use super::folded::{drop_table, file, searching};
use evenfold::checkpoint::{self, Takeover};
use evenfold::log::Log;
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::sample::settle;
use evenfold_cli::bench::stats::percentile;
use evenfold_cli::tuning::Tuning;
use indicatif::ProgressBar;

/// Events per second.
const RATE: u64 = 100;

pub(super) async fn measure(
    arena: &Arena,
    tuning: &Tuning,
    seconds: u64,
    samples: &mut SqlSamples,
    steps: &ProgressBar,
) -> anyhow::Result<()> {
    let database = searching(arena);
    let mut conn = database.connect().await?;
    let schedule = Schedule::steady(RATE, seconds);
    settle(&mut conn).await?;
    samples.insert.extend(percentile(&schedule.insert(arena).await?, 0.5));
    steps.inc(1);
    drop_table(&mut conn, "totals").await?;
    checkpoint::start_over(database.schema(), &mut conn, "totals").await?;
    settle(&mut conn).await?;
    let worker = tuning.worker_options(Takeover::Now);
    let options = tuning.run_options();
    let into = Destination::Own(Log::in_schema(database.schema().clone()));
    let taken = latencies(arena, &database, (file("totals")?, worker, options), (&schedule, &into)).await?;
    samples.visible.extend(percentile(&taken, 0.5));
    steps.inc(1);
    Ok(())
}
