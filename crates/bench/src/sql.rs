//! Projections in SQL: against the built-in counters, against reading the log, and against a bare INSERT.

mod figures;
mod folded;
mod visible;

use super::{Bench, Runs, steps};
use clap::Args;
use evenfold_cli::bench::arena::{Arena, within};
use evenfold_cli::bench::report::Figure;
use evenfold_cli::bench::sample::Sample;
use evenfold_cli::config::number;
use evenfold_cli::output::thousands;
use evenfold_cli::tuning::Tuning;
use figures::{SEVERAL, SqlSamples};
use folded::Folding;
pub(crate) use folded::Taken;

#[derive(Debug, Args)]
pub(super) struct SqlArgs {
    /// How many events there are to apply: 1 to 1000000000
    #[arg(long, default_value = "1000000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    events: u64,
    /// Of how many aggregates: 1 to 100000000
    #[arg(long, default_value = "10000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=100_000_000)))]
    aggregates: u64,
    /// How long the load of 100 events per second lasts, in seconds: 1 to 3600
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = |t: &str| number::<u64>(t, &(1..=3600)))]
    seconds: u64,
    #[command(flatten)]
    pub(super) runs: Runs,
    #[command(flatten)]
    tuning: Tuning,
}

impl SqlArgs {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.tuning.check()?;
        Ok(self.sample().check_size()?)
    }

    fn sample(&self) -> Sample {
        Sample { events: self.events, aggregates: self.aggregates }
    }

    pub(super) fn about(&self) -> String {
        format!(
            "{} events of {} aggregates with payloads of about 60 bytes; {}.",
            thousands(self.events),
            thousands(self.aggregates),
            self.runs.describe()
        )
    }
}

pub(super) async fn run(bench: Bench<'_>, args: &SqlArgs) -> anyhow::Result<Vec<Figure>> {
    let mut samples =
        within(bench.session, bench.shutdown, "sql", async |arena| Box::pin(catch_up(arena, args)).await).await?;
    // In a schema of its own: next to a read model of a million events the load would be another one.
    within(bench.session, bench.shutdown, "sql", async |arena| Box::pin(latency(arena, args, &mut samples)).await)
        .await?;
    Ok(samples.figures())
}

async fn catch_up(arena: &Arena, args: &SqlArgs) -> anyhow::Result<SqlSamples> {
    args.sample().write(arena).await?;
    let mut folding = Folding::new(arena, args.sample(), &args.tuning).await?;
    let mut samples = SqlSamples::default();
    let steps = steps(8 * args.runs.runs);
    for _ in 0..args.runs.runs {
        samples.copy.push(folding.drain().await?);
        steps.inc(1);
        samples.counters.push(folding.counters(1).await?);
        steps.inc(1);
        samples.totals.push(folding.files(&["totals"], 1).await?);
        steps.inc(1);
        samples.rebuilt.push(folding.rebuild("totals").await?);
        steps.inc(1);
        samples.counters_pool.push(folding.counters(2).await?);
        steps.inc(1);
        samples.totals_pool.push(folding.files(&["totals"], 2).await?);
        steps.inc(1);
        samples.unread.push(folding.files(&["unread"], 1).await?);
        steps.inc(1);
        let several: Vec<String> = (0..SEVERAL).map(|n| format!("totals{n}")).collect();
        let several: Vec<&str> = several.iter().map(String::as_str).collect();
        samples.several.push(folding.files(&several, 1).await?);
        steps.inc(1);
    }
    steps.finish_and_clear();
    Ok(samples)
}

async fn latency(arena: &Arena, args: &SqlArgs, samples: &mut SqlSamples) -> anyhow::Result<()> {
    let steps = steps(2 * args.runs.runs);
    for _ in 0..args.runs.runs {
        visible::measure(arena, &args.tuning, args.seconds, samples, &steps).await?;
    }
    steps.finish_and_clear();
    Ok(())
}
