//! `demo`: events, workers and their read model, in one command.

use super::generate::{GenerateArgs, generate};
use super::output::{per_second, print, table, thousands};
use super::panel::Panel;
use super::progress::bar;
use super::session::{self, Session};
use super::tuning::Tuning;
use super::verify::verify;
use super::{Global, counters, signals};
use crate::config::number;
use anyhow::bail;
use clap::Args;
use evenfold::checkpoint::{self, Lag, Takeover};
use evenfold::class::{Class, MAX_PARTITIONS, is_exact_cover};
use evenfold::counters::{NAME, top};
use evenfold::log::Interest;
use evenfold::projection::{Pool, Report};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often the lag is looked at in the end.
const TICK: Duration = Duration::from_millis(100);

/// Counters that differ are listed up to this many.
const SHOWN: u32 = 10;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How many events to write: 1 to 1000000000
    #[arg(long, default_value = "200000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    events: u64,
    /// How many partitions there are: 1 to 65536
    #[arg(long, env = "TOTAL_PARTITIONS", default_value = "4", value_name = "N",
        value_parser = |t: &str| number::<u32>(t, &(1..=MAX_PARTITIONS)))]
    total_partitions: u32,
    #[command(flatten)]
    tuning: Tuning,
}

pub(super) async fn run(global: &Global, args: DemoArgs) -> anyhow::Result<()> {
    args.tuning.check()?;
    let shutdown = signals::shutdown()?;
    let started = Instant::now();
    let session = Session::demonstration(global).await?;
    let outcome = demonstrate(&session, &args, &shutdown, started).await;
    session.close().await?;
    outcome?;
    print(&session::look_around(global))
}

async fn demonstrate(
    session: &Session,
    args: &DemoArgs,
    shutdown: &CancellationToken,
    started: Instant,
) -> anyhow::Result<()> {
    let total = args.total_partitions;
    print(&format!(
        "8 writers append {} events while {total} workers, one per partition,\nfold them into counters.\n",
        thousands(args.events)
    ))?;
    let worked = work(session, args, shutdown).await?;
    if shutdown.is_cancelled() {
        let written = thousands(worked.written);
        bail!("interrupted: {written} events were appended, and what was applied of them stays applied");
    }
    let Worked { written, wrote_for, took, reports, lags } = worked;
    print(&format!("{}\n", table_of(&reports, &lags, took)))?;
    print(&format!(
        "{} events appended in {wrote_for:.1?}, all of them applied after {took:.1?}.\n\n",
        thousands(written)
    ))?;
    let (own, mut conn) = (session.database.schema(), session.connect().await?);
    print(&format!("{}\n", counters::render(&top(own, &mut conn, None, 5).await?)))?;
    verify(own, &mut conn, &args.tuning.counters.amount_pointer, SHOWN, false).await?;
    print(&format!("{:.0?} in all.\n", started.elapsed()))
}

/// What was done, and how long it took.
struct Worked {
    written: u64,
    wrote_for: Duration,
    took: Duration,
    reports: Vec<(Class, Report)>,
    lags: Vec<Lag>,
}

/// Writes events while a pool of workers applies them, and waits until they have.
async fn work(session: &Session, args: &DemoArgs, shutdown: &CancellationToken) -> anyhow::Result<Worked> {
    let total = args.total_partitions;
    let partitions = (0..total).map(|key| Class::partition(key, total)).collect::<Result<Vec<_>, _>>()?;
    let stop = CancellationToken::new();
    let tuning = args.tuning.clone();
    // Nobody else works here: a demonstration with another number of partitions has ended.
    let make = move |class| tuning.worker(class, Takeover::Now);
    let mut pool = Pool::start(&session.database, &partitions, make, &args.tuning.run_options(), &stop)?;
    let mut panel = Panel::new(&pool);
    let appended = bar("appended", args.events);
    appended.enable_steady_tick(TICK);
    let sample =
        GenerateArgs { events: args.events, aggregates: 10_000, writers: 8, batch_size: 20, rate: None, seed: None };
    let started = Instant::now();
    let work = async {
        let written = generate(&session.database, sample, &appended, shutdown.clone()).await?;
        let wrote_for = started.elapsed();
        let lags = caught_up(session, &partitions, shutdown).await?;
        Ok::<_, anyhow::Error>((written, wrote_for, lags))
    };
    let (written, wrote_for, lags) = tokio::select! {
        done = work => done?,
        never = panel.draw() => match never {},
        failed = pool.ended() => match failed {
            Some((_, Err(error))) => bail!(error),
            _ => bail!("a worker ended before it was to"),
        },
    };
    let took = started.elapsed();
    stop.cancel();
    let mut reports = Vec::new();
    while let Some((class, report)) = pool.ended().await {
        reports.push((class, report?));
    }
    reports.sort_by_key(|(class, _)| *class);
    panel.clear();
    appended.finish_and_clear();
    Ok(Worked { written, wrote_for, took, reports, lags })
}

/// Waits until the database says that no partition has an event left, and gives each one's lag.
pub(super) async fn caught_up(
    session: &Session,
    partitions: &[Class],
    shutdown: &CancellationToken,
) -> anyhow::Result<Vec<Lag>> {
    let (own, mut conn) = (session.database.schema(), session.connect().await?);
    loop {
        let (mut lags, mut begun) = (Vec::new(), true);
        for class in partitions {
            lags.push(checkpoint::lag(own, &mut conn, None, NAME, *class, &Interest::everything()).await?);
            // A partition that no worker has begun yet has no checkpoint, and so no lag.
            let rows: Vec<Class> =
                checkpoint::load(own, &mut conn, NAME, *class).await?.iter().map(|row| row.class).collect();
            begun &= is_exact_cover(*class, &rows);
        }
        if shutdown.is_cancelled() || (begun && lags.iter().all(|lag| lag.events == 0)) {
            return Ok(lags);
        }
        tokio::time::sleep(TICK).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares to look at")]
fn table_of(reports: &[(Class, Report)], lags: &[Lag], took: Duration) -> String {
    let all: u64 = reports.iter().map(|(_, report)| report.applied).sum();
    let rows: Vec<Vec<String>> = reports
        .iter()
        .zip(lags)
        .map(|((class, report), lag)| {
            let busy = report.coordination + report.compute;
            vec![
                class.to_string(),
                thousands(report.applied),
                format!("{:.1} %", report.applied as f64 * 100.0 / all.max(1) as f64),
                per_second(report.applied, took),
                thousands(lag.events),
                thousands(report.batches),
                format!("{:.0} %", report.compute.as_secs_f64() * 100.0 / busy.as_secs_f64().max(f64::EPSILON)),
            ]
        })
        .collect();
    table(&["partition", "events", "share", "rate", "lag", "batches", "compute"], &rows, 1)
}
