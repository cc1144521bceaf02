//! Logs that others write, against evenfold's own: how fast they are folded, and what that costs their writers.

mod catch_up;
mod figures;
mod latency;
mod memory;
mod other_log;
mod second_server;
mod worker;
mod writers;

use super::{Bench, Runs, steps};
use clap::Args;
use evenfold_cli::Global;
use evenfold_cli::bench::arena::{Arena, within};
use evenfold_cli::bench::report::Figure;
use evenfold_cli::bench::sample::Sample;
use evenfold_cli::config::number;
use evenfold_cli::output::thousands;
use evenfold_cli::tuning::Tuning;
use figures::SourceSamples;
use second_server::SecondServer;

#[derive(Debug, Args)]
pub(super) struct SourcesArgs {
    /// How many events there are to apply: 1 to 1000000000
    #[arg(long, default_value = "1000000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    events: u64,
    /// Of how many aggregates: 1 to 100000000
    #[arg(long, default_value = "10000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=100_000_000)))]
    aggregates: u64,
    /// How long each load lasts, in seconds: 1 to 3600
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = |t: &str| number::<u64>(t, &(1..=3600)))]
    seconds: u64,
    /// How many connections write at the same time, where it is measured what a worker costs them: 1 to 64
    #[arg(long, default_value = "8", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=64)))]
    writers: u32,
    /// How many positions are missing, where it is measured what memory they take: 1 to 10000000
    #[arg(long, default_value = "100000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=10_000_000)))]
    missing: u64,
    #[command(flatten)]
    pub(super) runs: Runs,
    #[command(flatten)]
    tuning: Tuning,
}

impl SourcesArgs {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.tuning.check()?;
        Ok(self.sample().check_size()?)
    }

    fn sample(&self) -> Sample {
        Sample { events: self.events, aggregates: self.aggregates }
    }

    pub(super) fn about(&self) -> String {
        format!(
            "{} events of {} aggregates; loads of {} s, {} writers;\n{} missing positions; {}.",
            thousands(self.events),
            thousands(self.aggregates),
            self.seconds,
            self.writers,
            thousands(self.missing),
            self.runs.describe()
        )
    }
}

pub(super) async fn run(bench: Bench<'_>, global: &Global, args: &SourcesArgs) -> anyhow::Result<Vec<Figure>> {
    let mut samples = SourceSamples::default();
    let second = SecondServer::start(global).await?;
    let caught_up = within(bench.session, bench.shutdown, "sources", async |arena| {
        catch_up(arena, &second, args, &mut samples).await
    })
    .await;
    second.remove().await?;
    caught_up?;
    // In schemas of their own: next to a million events the loads would be others.
    within(bench.session, bench.shutdown, "sources", async |arena| loads(arena, args, &mut samples).await).await?;
    within(bench.session, bench.shutdown, "sources", async |arena| positions(arena, args, &mut samples).await).await?;
    Ok(samples.figures())
}

async fn catch_up(
    arena: &Arena,
    second: &SecondServer,
    args: &SourcesArgs,
    samples: &mut SourceSamples,
) -> anyhow::Result<()> {
    args.sample().write(arena).await?;
    let mut logs = catch_up::Logs::write(arena, &second.database(arena)?, args.sample(), &args.tuning).await?;
    let steps = steps(4 * args.runs.runs);
    for _ in 0..args.runs.runs {
        samples.own.push(logs.own().await?);
        steps.inc(1);
        samples.sequence.push(logs.sequence().await?);
        steps.inc(1);
        samples.second_server.push(logs.second_server().await?);
        steps.inc(1);
        samples.jsonb.push(logs.jsonb().await?);
        steps.inc(1);
    }
    steps.finish_and_clear();
    Ok(())
}

async fn loads(arena: &Arena, args: &SourcesArgs, samples: &mut SourceSamples) -> anyhow::Result<()> {
    let loads = latency::Loads::new(arena, &args.tuning, args.seconds).await?;
    let mut writers = writers::Writers::new(arena, args.writers, args.seconds).await?;
    let steps = steps(6 * args.runs.runs);
    for _ in 0..args.runs.runs {
        loads.measure(samples, &steps).await?;
        samples.alone.push(writers.rate().await?);
        steps.inc(1);
        samples.next_to_a_worker.push(writers.next_to_a_worker(&args.tuning).await?);
        steps.inc(1);
    }
    steps.finish_and_clear();
    Ok(())
}

async fn positions(arena: &Arena, args: &SourcesArgs, samples: &mut SourceSamples) -> anyhow::Result<()> {
    let steps = steps(2 * args.runs.runs);
    for _ in 0..args.runs.runs {
        samples.none_missing.extend(memory::peak(arena, &args.tuning, 0).await?);
        steps.inc(1);
        samples.missing.extend(memory::peak(arena, &args.tuning, args.missing).await?);
        steps.inc(1);
    }
    steps.finish_and_clear();
    Ok(())
}
