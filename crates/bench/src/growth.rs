//! What grows with the log: the same figures at several sizes of one log, which is kept and extended from one to the
//! next.

mod kept;
mod measure;
mod space;

use super::{Bench, Runs, steps};
use anyhow::ensure;
use clap::Args;
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::sample::{Sample, settle};
use evenfold_cli::config::{UsageError, number};
use evenfold_cli::output::thousands;
use evenfold_cli::tuning::Tuning;
use kept::Kept;

/// What is measured at each size, in the order of the rows.
const ROWS: [(&str, Unit, Goal); measure::ROWS] = [
    ("look", Unit::Milliseconds, Goal::AtMost(1.2)),
    ("latency: p50", Unit::Milliseconds, Goal::AtMost(1.2)),
    ("append", Unit::Milliseconds, Goal::AtMost(1.2)),
    ("catch up", Unit::PerSecond, Goal::AtLeast(0.8)),
    ("peak memory", Unit::Mebibytes, Goal::AtMost(1.2)),
    ("start", Unit::Seconds, Goal::AtMost(1.2)),
    ("2 to 3", Unit::Seconds, Goal::AtMost(1.2)),
    ("lag", Unit::Milliseconds, Goal::AtMost(1.2)),
    ("lag, behind", Unit::Milliseconds, Goal::AtMost(1.2)),
    ("status", Unit::Milliseconds, Goal::Open),
    ("status, behind", Unit::Milliseconds, Goal::Open),
    ("verify", Unit::PerSecond, Goal::AtLeast(0.8)),
    ("table", Unit::Bytes, Goal::AtMost(1.2)),
    ("indexes", Unit::Bytes, Goal::AtMost(1.2)),
];

#[derive(Debug, Args)]
pub(super) struct GrowthArgs {
    /// How many events the log has when it is measured, one size after the other: each 1 to 1000000000
    #[arg(long, default_value = "1000000,10000000", value_name = "N,N,…", value_delimiter = ',', value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    sizes: Vec<u64>,
    /// Of how many aggregates: 1 to 100000000
    #[arg(long, default_value = "10000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=100_000_000)))]
    aggregates: u64,
    /// How long the load for the latency lasts, in seconds: 1 to 3600
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = |t: &str| number::<u64>(t, &(1..=3600)))]
    seconds: u64,
    /// Leave the log in the database also when everything is measured, so that another run goes on with it
    #[arg(long)]
    keep: bool,
    /// Remove what an earlier run has left, and begin anew
    #[arg(long)]
    drop: bool,
    #[command(flatten)]
    pub(super) runs: Runs,
    #[command(flatten)]
    tuning: Tuning,
}

impl GrowthArgs {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.tuning.check()?;
        if self.sizes().first().is_some_and(|smallest| *smallest < self.aggregates) {
            return Err(UsageError(format!(
                "--aggregates must be at most the smallest of --sizes, and {} is above it",
                self.aggregates
            ))
            .into());
        }
        Ok(())
    }

    /// In ascending order.
    fn sizes(&self) -> Vec<u64> {
        let mut sizes = self.sizes.clone();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    pub(super) fn about(&self) -> String {
        let smallest = self.sizes().first().copied().map(size).unwrap_or_default();
        let aggregates = thousands(self.aggregates);
        format!("A log of {aggregates} aggregates, against itself with {smallest} events; {}.", self.runs.describe())
    }
}

pub(super) async fn run(bench: Bench<'_>, args: &GrowthArgs) -> anyhow::Result<Vec<Figure>> {
    if args.drop {
        Arena::drop_kept(bench.session, kept::SCHEMA).await?;
    }
    let arena = Arena::kept(bench.session, "growth", kept::SCHEMA).await?;
    let outcome = bench.shutdown.run_until_cancelled(measure_all(&arena, args)).await;
    match outcome {
        Some(Ok(figures)) => {
            if !args.keep {
                Arena::drop_kept(bench.session, kept::SCHEMA).await?;
            }
            Ok(figures)
        }
        other => {
            tracing::warn!(
                "what there is so far is kept in the schema {}: the next run goes on with it, and --drop removes it",
                kept::SCHEMA
            );
            other.unwrap_or_else(|| Err(anyhow::anyhow!("interrupted: there are no figures yet")))
        }
    }
}

async fn measure_all(arena: &Arena, args: &GrowthArgs) -> anyhow::Result<Vec<Figure>> {
    let mut conn = arena.database.connect().await?;
    let mut kept = Kept::open(arena.database.schema(), &mut conn, args.aggregates).await?;
    let sizes = args.sizes();
    for &events in &sizes {
        let missing = args.runs.runs.saturating_sub(kept.runs(&mut conn, events).await?);
        if missing == 0 {
            continue;
        }
        ensure!(
            kept.events <= events,
            "the schema {} has a log of {} events already, and {} can't be measured with it: add --drop to begin anew",
            kept::SCHEMA,
            thousands(kept.events),
            size(events)
        );
        space::check(&mut conn, events - kept.events).await?;
        let sample = Sample { events, aggregates: args.aggregates };
        kept.extend(arena, sample).await?;
        let steps = steps(missing);
        for _ in 0..missing {
            settle(&mut conn).await?;
            let measured = measure::all(arena, &mut conn, &args.tuning, (events, args.seconds)).await?;
            kept.add(&mut conn, events, &ROWS.map(|(what, ..)| what), &measured).await?;
            steps.inc(1);
        }
        steps.finish_and_clear();
    }
    figures(&kept, &mut conn, &sizes, args.runs.runs).await
}

/// The rows of each size but the smallest, which is the yardstick.
async fn figures(kept: &Kept, conn: &mut sqlx::PgConnection, sizes: &[u64], runs: u64) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let (Some(smallest), rest) = (sizes.first().copied(), sizes.get(1..).unwrap_or_default()) else {
        return Ok(figures);
    };
    for &events in if rest.is_empty() { sizes } else { rest } {
        for (what, unit, goal) in ROWS {
            let samples = kept.samples(conn, events, what, runs).await?;
            let yardstick = kept.samples(conn, smallest, what, runs).await?;
            figures.push(Figure {
                what: format!("{}: {what}", size(events)),
                unit,
                samples,
                against: "the smallest",
                yardstick,
                // A size that is compared with itself meets anything.
                goal: if events == smallest { Goal::Open } else { goal },
            });
        }
    }
    Ok(figures)
}

/// A number of events, short.
fn size(events: u64) -> String {
    const MILLION: u64 = 1_000_000;
    if events.is_multiple_of(MILLION) { format!("{}M", events / MILLION) } else { thousands(events) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_short() {
        assert_eq!([size(600), size(50_000_000), size(1_500_000)], ["600", "50M", "1,500,000"]);
    }
}
