//! How fast a projection catches up on the log.

use super::copy::Source;
use super::scratch::{Scratch, within};
use crate::Global;
use crate::bench::report::{self, Figure, Goal, Unit};
use crate::bench::{Runs, stats, steps, yardsticks};
use crate::config::number;
use crate::output::{thousands, wrapped};
use crate::projections::{ProjectionArg, Projections};
use crate::registry::{Configured, On};
use crate::session::Session;
use crate::signals;
use crate::tuning::WorkerSettings;
use anyhow::{anyhow, ensure};
use clap::Args;
use evenfold::checkpoint::Takeover;
use evenfold::class::Class;
use evenfold::log;
use evenfold::projection::{PoolWorker, Process, Report, Trouble};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A worker that has failed this often in a row is taken to fail for ever.
const FAILURES: u32 = 3;

/// How often it is looked whether workers fail.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct ReplayCatchUpArgs {
    /// How many events of the log are copied at most, from its beginning: 1 to 1000000000
    #[arg(long, default_value = "1000000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    events: u64,
    /// How many workers the pool has: 1 to 64
    #[arg(long, default_value = "4", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=64)))]
    workers: u32,
    #[command(flatten)]
    runs: Runs,
    #[command(flatten)]
    projection: ProjectionArg,
    #[command(flatten)]
    settings: WorkerSettings,
}

pub(super) async fn run(global: &Global, args: ReplayCatchUpArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let (name, projection) = known.configured(&args.projection, Some(args.settings.batch_size))?;
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let outcome = within(&session, &shutdown, "bench catch-up", async |scratch| {
        measure(&session, scratch, &args, name, &*projection).await
    });
    let outcome = outcome.await;
    session.close().await?;
    let (figures, about) = outcome?;
    report::show("catch-up", &about, &figures, args.runs.json)
}

async fn measure(
    session: &Session,
    scratch: &Scratch,
    args: &ReplayCatchUpArgs,
    name: &str,
    projection: &dyn Configured,
) -> anyhow::Result<(Vec<Figure>, String)> {
    let all = log::count(session.database.schema(), &mut session.connect().await?).await?;
    let copied = Source::open(&session.database).await?.copy(&scratch.database, args.events).await?;
    ensure!(copied > 0, "the log has no event that could be applied: append some first");
    let vacuum = scratch.database.schema().sql("VACUUM ANALYZE evenfold.events");
    sqlx::raw_sql(vacuum).execute(&mut scratch.database.connect().await?).await?;
    let measured = repeated(scratch, args, name, projection).await?;
    let about = wrapped(&format!(
        "{name}: {} of {} events of the log, in a database of their own that is removed now. {} are applied, {} parked, the rest \
         is not wanted; {}.",
        thousands(copied),
        thousands(all),
        thousands(measured.applied),
        thousands(measured.parked),
        args.runs.describe()
    ));
    Ok((measured.figures(args.workers, copied), about.trim_end().to_owned()))
}

/// Seconds, unless something else is named.
#[derive(Default)]
struct Measured {
    drained: Vec<f64>,
    one: Vec<f64>,
    pool: Vec<f64>,
    /// Rows that the pool was sent.
    sent: Vec<f64>,
    /// Events, the same in every run.
    applied: u64,
    parked: u64,
}

impl Measured {
    fn figures(self, workers: u32, copied: u64) -> Vec<Figure> {
        let figure = |what: String, samples, against, yardstick| Figure {
            what,
            unit: Unit::Seconds,
            samples,
            against,
            yardstick,
            goal: Goal::Open,
        };
        let name = format!("pool of {workers}");
        let rows = figure(format!("{name}: rows"), self.sent, "the log", vec![stats::sample(copied)]);
        vec![
            figure("one worker".to_owned(), self.one.clone(), "COPY", self.drained),
            figure(name, self.pool, "one worker", self.one),
            Figure { unit: Unit::Events, ..rows },
        ]
    }
}

/// Each of what is measured in turn, as often as was asked for.
async fn repeated(
    scratch: &Scratch,
    args: &ReplayCatchUpArgs,
    name: &str,
    projection: &dyn Configured,
) -> anyhow::Result<Measured> {
    let (mut measured, steps) = (Measured::default(), steps(3 * args.runs.runs));
    let mut by_index = scratch.database.by_index().connect().await?;
    for run in 0..args.runs.runs {
        let drained = yardsticks::drain(scratch.database.schema(), &mut by_index).await?;
        measured.drained.push(drained.as_secs_f64());
        steps.inc(1);
        let (alone, seconds) = folded(scratch, &args.settings, name, projection, 1).await?;
        measured.one.push(seconds);
        steps.inc(1);
        let (together, seconds) = folded(scratch, &args.settings, name, projection, args.workers).await?;
        measured.pool.push(seconds);
        measured.sent.push(stats::sample(together.received));
        steps.inc(1);
        if run == 0 {
            (measured.applied, measured.parked) = (alone.applied, alone.parked);
        }
        for report in [alone, together] {
            ensure!(
                (report.applied, report.parked) == (measured.applied, measured.parked),
                "{} events were applied and {} parked, and {} and {} before: what the projection does depends on more than the log",
                report.applied,
                report.parked,
                measured.applied,
                measured.parked
            );
        }
    }
    steps.finish_and_clear();
    Ok(measured)
}

/// Has workers of this process apply the whole copy into tables that the projection has just created.
pub(super) async fn folded(
    scratch: &Scratch,
    settings: &WorkerSettings,
    name: &str,
    projection: &dyn Configured,
    workers: u32,
) -> anyhow::Result<(Report, f64)> {
    scratch.start_over(name).await?;
    fold(scratch, settings, projection, workers).await
}

/// Applies all of the log; gives what was done, and the seconds.
async fn fold(
    scratch: &Scratch,
    settings: &WorkerSettings,
    projection: &dyn Configured,
    workers: u32,
) -> anyhow::Result<(Report, f64)> {
    let partitions = (0..workers).map(|key| Class::partition(key, workers)).collect::<Result<Vec<_>, _>>()?;
    let options = settings.run_options().until_caught_up(true);
    // However this ends, the workers do.
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let process = Process::new(&scratch.database);
    let worker = settings.worker_options(Takeover::Now);
    let started = Instant::now();
    let mut pool =
        projection.pool(On { process: &process, worker, run: &options, shutdown: &stop, source: None }, &partitions)?;
    let (members, mut total) = (pool.members().to_vec(), Report::default());
    loop {
        tokio::select! {
            ended = pool.ended() => match ended {
                Some((_, report)) => total = total.and(report?),
                None => break,
            },
            failing = failing(|| members.clone()) => return Err(failing),
        }
    }
    let took = started.elapsed().as_secs_f64();
    process.close().await;
    Ok((total, took))
}

/// Ends when a worker has failed several times in a row, with the reason: in a program's own database it would be tried
/// again for ever.
pub(super) async fn failing(members: impl Fn() -> Vec<PoolWorker>) -> anyhow::Error {
    loop {
        let troubles: Vec<Trouble> = members().iter().filter_map(PoolWorker::trouble).collect();
        if let Some(Trouble { why, .. }) = troubles.into_iter().find(|one| one.failures >= FAILURES) {
            return anyhow!("the projection can't be folded in a database that has only what it creates itself: {why}");
        }
        tokio::time::sleep(TICK).await;
    }
}
