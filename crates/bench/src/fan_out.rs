//! What many worker processes cost the database, compared to one.

use super::cpu::Server;
use super::{Bench, Runs, steps};
use clap::Args;
use evenfold::schema;
use evenfold_cli::bench::arena::{Arena, within};
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::sample::{Sample, start_over};
use evenfold_cli::bench::{child, stats};
use evenfold_cli::config::number;
use evenfold_cli::output::thousands;
use evenfold_cli::tuning::Tuning;
use std::collections::BTreeSet;
use std::time::Instant;

#[derive(Debug, Args)]
pub(super) struct FanOutArgs {
    /// How many events there are to apply: 1 to 1000000000
    #[arg(long, default_value = "1000000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    events: u64,
    /// Of how many aggregates: 1 to 100000000
    #[arg(long, default_value = "10000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=100_000_000)))]
    aggregates: u64,
    /// How many worker processes, one partition each; one alone is always measured: each 1 to 64
    #[arg(long, default_value = "1,2,4,8,16", value_name = "N,N,…", value_delimiter = ',', value_parser = |t: &str| number::<u32>(t, &(1..=64)))]
    processes: Vec<u32>,
    /// Build the index of `evenfold index` for each number of processes first
    #[arg(long)]
    index: bool,
    #[command(flatten)]
    pub(super) runs: Runs,
    #[command(flatten)]
    tuning: Tuning,
}

/// The same number of processes, several times.
#[derive(Debug, Default, Clone)]
struct Crew {
    rows: Vec<f64>,
    /// Empty where it can't be seen.
    cpu: Vec<f64>,
    wall: Vec<f64>,
}

impl FanOutArgs {
    fn sample(&self) -> Sample {
        Sample { events: self.events, aggregates: self.aggregates }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.tuning.check()?;
        Ok(self.sample().check_size()?)
    }

    pub(super) fn about(&self, figures: &[Figure]) -> String {
        let Self { events, aggregates, index, .. } = self;
        let unseen = figures.iter().any(|figure| figure.samples.is_empty());
        format!(
            "{} events of {} aggregates{}; {}.{}",
            thousands(*events),
            thousands(*aggregates),
            if *index { ", indexed by partition" } else { "" },
            self.runs.describe(),
            if unseen { "\nPostgreSQL's CPU time is seen only where it runs on this machine, on Linux." } else { "" }
        )
    }
}

pub(super) async fn run(bench: Bench<'_>, args: &FanOutArgs) -> anyhow::Result<Vec<Figure>> {
    within(bench.session, bench.shutdown, "fan-out", async |arena| measure(arena, args).await).await
}

async fn measure(arena: &Arena, args: &FanOutArgs) -> anyhow::Result<Vec<Figure>> {
    let sample = args.sample();
    sample.write(arena).await?;
    let numbers: BTreeSet<u32> = args.processes.iter().copied().chain([1]).collect();
    let mut conn = arena.database.connect().await?;
    if args.index {
        for number in numbers.iter().filter(|number| **number > 1) {
            schema::create_index(arena.database.schema(), &mut conn, *number).await?;
        }
    }
    let mut crews: Vec<(u32, Crew)> = numbers.into_iter().map(|number| (number, Crew::default())).collect();
    let server = Server::of(&mut conn).await?;
    let steps = steps(args.runs.runs * crews.len() as u64);
    for _ in 0..args.runs.runs {
        for (number, crew) in &mut crews {
            start_over(arena.database.schema(), &mut conn).await?;
            let (before, started) = (server.and_then(Server::seconds), Instant::now());
            let done = child::fold(arena, &args.tuning, *number).await?;
            crew.wall.push(started.elapsed().as_secs_f64());
            let used = server.and_then(Server::seconds).zip(before).map(|(after, before)| after - before);
            crew.cpu.extend(used);
            crew.rows.push(stats::sample(done.iter().map(|done| done.received).sum()));
            sample.check(arena.database.schema(), &mut conn, &args.tuning.counters.amount_pointer).await?;
            steps.inc(1);
        }
    }
    steps.finish_and_clear();
    let log = stats::sample(sample.events);
    let one = crews.first().map(|(_, crew)| crew.clone()).unwrap_or_default();
    Ok(crews.into_iter().flat_map(|(number, crew)| figures(number, crew, &one, log)).collect())
}

fn figures(number: u32, crew: Crew, one: &Crew, log: f64) -> [Figure; 3] {
    let name = if number == 1 { "1 process".to_owned() } else { format!("{number} processes") };
    let cpu = match number {
        2..=4 => Goal::AtMost(1.5),
        5..=16 => Goal::AtMost(2.0),
        _ => Goal::Open,
    };
    let seconds = |what: &str, samples, yardstick: &Vec<f64>, goal| Figure {
        what: format!("{name}: {what}"),
        unit: Unit::Seconds,
        samples,
        against: "one worker",
        yardstick: yardstick.clone(),
        goal,
    };
    let rows = Figure {
        what: format!("{name}: rows"),
        unit: Unit::Events,
        samples: crew.rows,
        against: "the log",
        yardstick: vec![log],
        goal: Goal::AtMost(1.05),
    };
    [rows, seconds("CPU", crew.cpu, &one.cpu, cpu), seconds("wall", crew.wall, &one.wall, Goal::Open)]
}
