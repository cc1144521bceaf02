//! How long it takes from the commit of an append to the commit of the read model.

use super::schedule::{Acked, Destination, Schedule, milliseconds};
use super::stamped::{Stamped, Stamps};
use super::{Bench, Runs, steps};
use anyhow::{Context, bail};
use clap::Args;
use evenfold::Database;
use evenfold::checkpoint::Takeover;
use evenfold::class::Class;
use evenfold::counters::mismatches;
use evenfold::event::NewEvent;
use evenfold::log::Log;
use evenfold::projection::{self, Phase, Projection, Report, RunError, RunOptions, Worker, WorkerOptions};
use evenfold_cli::bench::arena::{Arena, within};
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::sample::settle;
use evenfold_cli::bench::stats::percentile;
use evenfold_cli::config::number;
use evenfold_cli::output::thousands;
use evenfold_cli::tuning::Tuning;
use serde_json::json;
use sqlx::Connection;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Events per second. The last one is also measured with a transaction held open.
const RATES: [u64; 2] = [100, 1000];

/// How often a condition is looked at, and for how long.
const TICK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub(super) struct LatencyArgs {
    /// How long each load lasts, in seconds: 1 to 3600
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = |t: &str| number::<u64>(t, &(1..=3600)))]
    seconds: u64,
    #[command(flatten)]
    pub(super) runs: Runs,
    #[command(flatten)]
    tuning: Tuning,
}

impl LatencyArgs {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        Ok(self.tuning.check()?)
    }

    pub(super) fn about(&self) -> String {
        let Self { seconds, runs, .. } = self;
        format!("From commit to commit; one event per transaction, {seconds} s per load; {}.", runs.describe())
    }
}

/// The two percentiles of one load, run by run, in milliseconds.
#[derive(Debug, Default, Clone)]
struct Percentiles {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Percentiles {
    fn add(&mut self, samples: &[f64]) {
        self.p50.extend(percentile(samples, 0.5));
        self.p99.extend(percentile(samples, 0.99));
    }

    /// A figure for each.
    fn against(&self, what: &str, against: &'static str, yardstick: &Self, goals: [Goal; 2]) -> [Figure; 2] {
        let pairs = [("p50", &self.p50, &yardstick.p50), ("p99", &self.p99, &yardstick.p99)];
        let figure = |((name, samples, yardstick), goal): ((&str, &Vec<f64>, &Vec<f64>), Goal)| Figure {
            what: format!("{what}: {name}"),
            unit: Unit::Milliseconds,
            samples: samples.clone(),
            against,
            yardstick: yardstick.clone(),
            goal,
        };
        let [p50, p99] = pairs;
        [figure((p50, goals[0])), figure((p99, goals[1]))]
    }
}

/// A load, its latencies, and those of the inserts at the same moments.
struct LatencyLoad {
    name: String,
    schedule: Schedule,
    events: Percentiles,
    inserts: Percentiles,
}

impl LatencyLoad {
    fn new(name: String, schedule: Schedule) -> Self {
        Self { name, schedule, events: Percentiles::default(), inserts: Percentiles::default() }
    }
}

pub(super) async fn run(bench: Bench<'_>, args: &LatencyArgs) -> anyhow::Result<Vec<Figure>> {
    within(bench.session, bench.shutdown, "latency", async |arena| measure(arena, args).await).await
}

async fn measure(arena: &Arena, args: &LatencyArgs) -> anyhow::Result<Vec<Figure>> {
    let mut conn = arena.database.connect().await?;
    let mut loads: Vec<LatencyLoad> = RATES
        .iter()
        .map(|&rate| LatencyLoad::new(format!("{}/s", thousands(rate)), Schedule::steady(rate, args.seconds)))
        .collect();
    let full = loads.last().map(|load| (load.name.clone(), load.schedule.clone())).context("there is a load")?;
    loads.push(LatencyLoad::new("after idle".to_owned(), Schedule::sparse(args.seconds)));
    let mut blocked = Percentiles::default();
    let steps = steps(args.runs.runs * (2 * loads.len() as u64 + 1));
    for _ in 0..args.runs.runs {
        for load in &mut loads {
            settle(&mut conn).await?;
            load.inserts.add(&load.schedule.insert(arena).await?);
            steps.inc(1);
            load.events.add(&of_counters(arena, args, &load.schedule).await?);
            steps.inc(1);
        }
        settle(&mut conn).await?;
        blocked.add(&with_an_open_transaction(arena, args, &full.1).await?);
        steps.inc(1);
        let differ = mismatches(arena.database.schema(), &mut conn, &args.tuning.counters.amount_pointer, 1).await?;
        anyhow::ensure!(differ.is_empty(), "the counters do not agree with the log: please report this mistake");
    }
    steps.finish_and_clear();
    let mut figures: Vec<Figure> = loads
        .iter()
        .flat_map(|load| load.events.against(&load.name, "INSERT", &load.inserts, goals(&load.name)))
        .collect();
    if let Some(without) = loads.iter().find(|load| load.name == full.0) {
        let goals = [Goal::AtMost(1.2), Goal::Open];
        figures.extend(blocked.against(&format!("{}, open tx", full.0), "no open tx", &without.events, goals));
    }
    Ok(figures)
}

/// What the median and the 99th percentile of a load may be of an INSERT's.
fn goals(load: &str) -> [Goal; 2] {
    let (p50, p99) = match load {
        "1,000/s" => (2.2, 4.0),
        "100/s" => (1.4, 5.0),
        _ => (3.0, 5.0),
    };
    [Goal::AtMost(p50), Goal::AtMost(p99)]
}

/// The latencies while somebody has appended an event and does not commit. It holds up whoever reads the log only as
/// far as nobody has run; the event itself is applied once it is committed.
async fn with_an_open_transaction(arena: &Arena, args: &LatencyArgs, load: &Schedule) -> anyhow::Result<Vec<f64>> {
    let mut conn = arena.database.connect().await?;
    // It is idle for as long as the load lasts.
    sqlx::raw_sql("SET idle_in_transaction_session_timeout = 0").execute(&mut conn).await?;
    let mut tx = conn.begin().await?;
    Log::in_schema(arena.database.schema().clone())
        .append(&mut tx, &[NewEvent::new("counter", "held", "incremented", &json!({ "amount": 1 }))?])
        .await?;
    let latencies = of_counters(arena, args, load).await?;
    tx.commit().await?;
    Ok(latencies)
}

async fn of_counters(arena: &Arena, args: &LatencyArgs, load: &Schedule) -> anyhow::Result<Vec<f64>> {
    let (worker, options) = (args.tuning.worker_options(Takeover::Now), args.tuning.run_options());
    let into = Destination::Own(Log::in_schema(arena.database.schema().clone()));
    latencies(arena, &arena.database, (args.tuning.counters.projection(), worker, options), (load, &into)).await
}

/// Runs a worker and a load, and gives the time of each event from its commit to that of the worker, in milliseconds.
pub(super) async fn latencies<P: Projection>(
    arena: &Arena,
    database: &Database,
    (projection, worker, options): (P, WorkerOptions, RunOptions),
    (load, into): (&Schedule, &Destination),
) -> anyhow::Result<Vec<f64>> {
    let stamps = Stamps::default();
    let projection = Stamped { projection, stamps: stamps.clone(), pending: Vec::new() };
    let worker = Worker::new(Class::partition(0, 1)?, projection, worker);
    let progress = worker.progress();
    let stop = CancellationToken::new();
    // However this ends, the worker does.
    let _guard = stop.clone().drop_guard();
    let (database, stopped) = (database.clone(), stop.clone());
    let mut workers: JoinSet<Result<Report, RunError>> = JoinSet::new();
    workers.spawn(async move { projection::run(&database, worker, &options, stopped).await });
    let work = async {
        until("the worker to start", || progress.phase() == Phase::CaughtUp).await?;
        let acked = load.append(arena, into).await?;
        let visible = || acked.iter().all(|(position, _)| stamps.of(*position).is_some());
        until("the events to be applied", visible).await?;
        Ok::<_, anyhow::Error>(acked)
    };
    let acked = tokio::select! {
        acked = work => acked?,
        Some(ended) = workers.join_next() => match ended? {
            Err(error) => bail!(error),
            Ok(_) => bail!("the worker ended before it was stopped"),
        },
    };
    stop.cancel();
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(acked.into_iter().map(|acked| latency(acked, &stamps)).collect())
}

/// Nothing where the worker learnt of its commit before the writer of its own.
fn latency((position, acked): Acked, stamps: &Stamps) -> f64 {
    let visible = stamps.of(position).unwrap_or(acked);
    milliseconds(visible.saturating_duration_since(acked))
}

async fn until(what: &str, condition: impl Fn() -> bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while !condition() {
        anyhow::ensure!(started.elapsed() < PATIENCE, "waited a minute for {what}");
        tokio::time::sleep(TICK).await;
    }
    Ok(())
}
