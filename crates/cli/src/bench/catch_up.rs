//! How long a worker takes for a whole log, and how much memory.

use super::arena::{Arena, within};
use super::report::{Figure, Goal, Unit};
use super::sample::{Sample, start_over};
use super::{Bench, Runs, child, report, stats, steps, yardsticks};
use crate::config::number;
use crate::output::thousands;
use crate::tuning::Tuning;
use anyhow::bail;
use clap::Args;
use evenfold::checkpoint::Takeover;
use evenfold::class::Class;
use evenfold::projection::{Pool, Report};
use sqlx::PgConnection;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What a worker may have at the default of `--max-actors`.
const MEMORY_MIB: f64 = 96.0;

const MIB: f64 = 1_048_576.0;

#[derive(Debug, Args)]
pub struct CatchUpArgs {
    /// How many events there are to apply: 1 to 1000000000
    #[arg(long, default_value = "1000000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    events: u64,
    /// Of how many aggregates, for the figures that are not about as many aggregates as events: 1 to 100000000
    #[arg(long, default_value = "10000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=100_000_000)))]
    aggregates: u64,
    /// How many workers the pool has: 1 to 64
    #[arg(long, default_value = "4", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=64)))]
    workers: u32,
    #[command(flatten)]
    runs: Runs,
    #[command(flatten)]
    tuning: Tuning,
}

impl CatchUpArgs {
    pub fn check(&self) -> anyhow::Result<()> {
        self.tuning.check()?;
        Ok(Sample { events: self.events, aggregates: self.aggregates }.check_size()?)
    }

    fn about(&self) -> String {
        format!("{} events with payloads of about 60 bytes; {}.", thousands(self.events), self.runs.describe())
    }
}

/// Measures, and prints the figures.
pub async fn show(bench: Bench<'_>, args: &CatchUpArgs) -> anyhow::Result<()> {
    let figures = run(bench, args).await?;
    report::show("catch-up", &args.about(), &figures, args.runs.json)
}

async fn run(bench: Bench<'_>, args: &CatchUpArgs) -> anyhow::Result<Vec<Figure>> {
    let few = Sample { events: args.events, aggregates: args.aggregates };
    let mut figures =
        within(bench.session, bench.shutdown, "catch-up", async |arena| few_aggregates(arena, args, few).await).await?;
    let many = Sample { aggregates: args.events, ..few };
    figures.extend(
        within(bench.session, bench.shutdown, "catch-up", async |arena| many_aggregates(arena, args, many).await)
            .await?,
    );
    Ok(figures)
}

/// One worker against reading alone, and a pool against one worker.
async fn few_aggregates(arena: &Arena, args: &CatchUpArgs, sample: Sample) -> anyhow::Result<Vec<Figure>> {
    sample.write(arena).await?;
    let (mut drained, mut one, mut pool, mut sent) = (vec![], vec![], vec![], vec![]);
    let mut conn = arena.database.connect().await?;
    // As the worker has it: the plan that walks the index.
    let mut by_index = arena.database.by_index().connect().await?;
    let steps = steps(3 * args.runs.runs);
    for _ in 0..args.runs.runs {
        drained.push(yardsticks::drain(arena.database.schema(), &mut by_index).await?.as_secs_f64());
        steps.inc(1);
        one.push(folded(arena, &mut conn, args, sample, 1).await?.took.as_secs_f64());
        steps.inc(1);
        let Folded { took, received } = folded(arena, &mut conn, args, sample, args.workers).await?;
        pool.push(took.as_secs_f64());
        sent.push(stats::sample(received));
        steps.inc(1);
    }
    steps.finish_and_clear();
    let name = format!("pool of {}", args.workers);
    Ok(vec![
        Figure {
            what: format!("{} aggregates", thousands(sample.aggregates)),
            unit: Unit::Seconds,
            samples: one.clone(),
            against: "COPY",
            yardstick: drained,
            goal: Goal::AtMost(1.7),
        },
        Figure {
            what: name.clone(),
            unit: Unit::Seconds,
            samples: pool,
            against: "one worker",
            yardstick: one,
            goal: Goal::AtMost(1.0),
        },
        Figure {
            what: format!("{name}: rows"),
            unit: Unit::Events,
            samples: sent,
            against: "the log",
            yardstick: vec![stats::sample(sample.events)],
            goal: Goal::AtMost(1.05),
        },
    ])
}

/// One worker against one statement that does the same, and the memory of a worker process.
async fn many_aggregates(arena: &Arena, args: &CatchUpArgs, sample: Sample) -> anyhow::Result<Vec<Figure>> {
    sample.write(arena).await?;
    let (mut statement, mut one, mut memory) = (vec![], vec![], vec![]);
    let mut conn = arena.database.connect().await?;
    let steps = steps(3 * args.runs.runs);
    for _ in 0..args.runs.runs {
        start_over(arena.database.schema(), &mut conn).await?;
        statement.push(
            yardsticks::fold(arena.database.schema(), &mut conn, &args.tuning.counters.amount_pointer)
                .await?
                .as_secs_f64(),
        );
        steps.inc(1);
        one.push(folded(arena, &mut conn, args, sample, 1).await?.took.as_secs_f64());
        steps.inc(1);
        start_over(arena.database.schema(), &mut conn).await?;
        let done = child::fold(arena, &args.tuning, 1).await?;
        sample.check(arena.database.schema(), &mut conn, &args.tuning.counters.amount_pointer).await?;
        memory.extend(done.iter().filter_map(|done| Some(stats::sample(done.peak_rss_bytes?) / MIB)));
        steps.inc(1);
    }
    steps.finish_and_clear();
    Ok(vec![
        Figure {
            what: format!("{} aggregates", thousands(sample.aggregates)),
            unit: Unit::Seconds,
            samples: one,
            against: "GROUP BY",
            yardstick: statement,
            goal: Goal::AtMost(2.0),
        },
        Figure {
            what: "its peak memory".to_owned(),
            unit: Unit::Mebibytes,
            samples: memory,
            against: "the limit",
            yardstick: vec![MEMORY_MIB],
            goal: Goal::AtMost(1.0),
        },
    ])
}

struct Folded {
    took: Duration,
    received: u64,
}

/// Has workers of this process apply the whole log into empty counters, and checks that they did.
async fn folded(
    arena: &Arena,
    conn: &mut PgConnection,
    args: &CatchUpArgs,
    sample: Sample,
    workers: u32,
) -> anyhow::Result<Folded> {
    start_over(arena.database.schema(), conn).await?;
    let partitions = (0..workers).map(|key| Class::partition(key, workers)).collect::<Result<Vec<_>, _>>()?;
    let options = args.tuning.run_options().until_caught_up(true);
    // However this ends, the workers do.
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let tuning = args.tuning.clone();
    let started = Instant::now();
    let make = move |class| tuning.worker(class, Takeover::Now);
    let mut pool = Pool::start(&arena.database, &partitions, make, &options, &stop)?;
    let mut total = Report::default();
    while let Some((_, report)) = pool.ended().await {
        total = total.and(report?);
    }
    let took = started.elapsed();
    if total.parked > 0 {
        bail!("{} events were parked: is the amount pointer that of the sample events, /amount?", total.parked);
    }
    sample.check(arena.database.schema(), conn, &args.tuning.counters.amount_pointer).await?;
    Ok(Folded { took, received: total.received })
}
