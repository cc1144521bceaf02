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
use anyhow::{bail, ensure};
use clap::Args;
use evenfold::checkpoint::Takeover;
use evenfold::class::Class;
use evenfold::log;
use evenfold::projection::{PoolWorker, Process, Report};
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
    let own = scratch.database.schema();
    let mut by_index = scratch.database.by_index().connect().await?;
    sqlx::raw_sql(own.sql("VACUUM ANALYZE evenfold.events")).execute(&mut by_index).await?;
    let (mut drained, mut one, mut pool, mut sent) = (vec![], vec![], vec![], vec![]);
    let (mut applied, steps) = (None, steps(3 * args.runs.runs));
    for _ in 0..args.runs.runs {
        drained.push(yardsticks::drain(own, &mut by_index).await?.as_secs_f64());
        steps.inc(1);
        for (workers, seconds) in [(1, &mut one), (args.workers, &mut pool)] {
            let (report, took) = folded(scratch, &args.settings, name, projection, workers).await?;
            seconds.push(took);
            let counts = (report.applied, report.parked);
            let first = *applied.get_or_insert(counts);
            ensure!(
                counts == first,
                "{} events were applied and {} parked, and {} and {} before: the projection does not depend on the log alone",
                counts.0,
                counts.1,
                first.0,
                first.1
            );
            if workers == args.workers && seconds.len() > sent.len() {
                sent.push(stats::sample(report.received));
            }
            steps.inc(1);
        }
    }
    steps.finish_and_clear();
    let (applied, parked) = applied.unwrap_or_default();
    let about = wrapped(&format!(
        "{name}: {} of {} events of the log, in a database of their own that is removed now. {} are applied, {} parked, the rest \
         is not wanted; {}.",
        thousands(copied),
        thousands(all),
        thousands(applied),
        thousands(parked),
        args.runs.describe()
    ));
    let about = about.trim_end().to_owned();
    let figure = |what: String, samples, against, yardstick| Figure {
        what,
        unit: Unit::Seconds,
        samples,
        against,
        yardstick,
        goal: Goal::Open,
    };
    let name = format!("pool of {}", args.workers);
    let rows =
        Figure { unit: Unit::Events, ..figure(format!("{name}: rows"), sent, "the log", vec![stats::sample(copied)]) };
    let of_one = figure("one worker".to_owned(), one.clone(), "COPY", drained);
    Ok((vec![of_one, figure(name, pool, "one worker", one), rows], about))
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
    let mut pool = projection.pool(On { process: &process, worker, run: &options, shutdown: &stop }, &partitions)?;
    let (members, mut total) = (pool.members().to_vec(), Report::default());
    loop {
        tokio::select! {
            ended = pool.ended() => match ended {
                Some((_, report)) => total = total.and(report?),
                None => break,
            },
            // Anywhere else it would be tried again for ever.
            why = failing(&members) => bail!(
                "the projection can't be folded in a database where nothing is but what it creates: {why}"
            ),
        }
    }
    let took = started.elapsed().as_secs_f64();
    process.close().await;
    Ok((total, took))
}

/// Ends when a worker has failed several times in a row, with the reason.
async fn failing(members: &[PoolWorker]) -> String {
    loop {
        let failing = members.iter().filter_map(PoolWorker::trouble).find(|trouble| trouble.failures >= FAILURES);
        if let Some(trouble) = failing {
            return trouble.why;
        }
        tokio::time::sleep(TICK).await;
    }
}
