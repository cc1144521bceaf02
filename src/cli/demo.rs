use super::generate::{GenerateArgs, bar, generate};
use super::output::{print, table, thousands};
use super::session::Session;
use super::worker::Tuning;
use super::{Global, counters, signals};
use anyhow::{Context, bail};
use clap::Args;
use evenfold::checkpoint::{self, Lag};
use evenfold::class::Class;
use evenfold::config::number;
use evenfold::log::Interest;
use evenfold::projection::counters::{NAME, mismatches, top, totals};
use evenfold::projection::{self, Progress, Report};
use indicatif::{MultiProgress, ProgressBar};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often the progress bars are drawn, and the lag is looked at in the end.
const TICK: Duration = Duration::from_millis(100);

/// Counters that differ are listed up to this many.
const SHOWN: u32 = 10;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How many events to write: 1 to 1000000000
    #[arg(long, default_value = "200000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    events: u64,
    #[command(flatten)]
    tuning: Tuning,
}

/// A worker that runs, as seen from outside.
struct Running {
    class: Class,
    progress: Arc<Progress>,
    bar: ProgressBar,
}

pub(super) async fn run(global: &Global, args: DemoArgs) -> anyhow::Result<()> {
    args.tuning.check()?;
    if global.database_url.is_some() {
        tracing::warn!("the demonstration leaves the database of the URL alone and uses evenfold's own");
    }
    let shutdown = signals::shutdown()?;
    let started = Instant::now();
    let session = Session::embedded(global).await?;
    let outcome = demonstrate(&session, &args, &shutdown, started).await;
    session.close().await?;
    outcome
}

async fn demonstrate(
    session: &Session,
    args: &DemoArgs,
    shutdown: &CancellationToken,
    started: Instant,
) -> anyhow::Result<()> {
    let total = args.tuning.total_partitions;
    print(&format!(
        "8 writers append {} events while {total} workers, one per partition,\nfold them into counters.\n",
        thousands(args.events)
    ))?;
    let stop = CancellationToken::new();
    let bars = MultiProgress::new();
    let mut tasks = JoinSet::new();
    let running = start_workers(session, args, &bars, &mut tasks, &stop)?;
    let appended = bars.add(bar("appended", args.events));
    let sample =
        GenerateArgs { events: args.events, aggregates: 10_000, writers: 8, batch_size: 20, rate: None, seed: None };
    let writing = Instant::now();
    let draw = draw(&running);
    let written = tokio::select! {
        written = generate(&session.database, sample, &appended, shutdown.clone()) => written?,
        () = draw => 0,
        failed = first_failure(&mut tasks) => bail!(failed),
    };
    let wrote_for = writing.elapsed();
    appended.finish();
    let lags = tokio::select! {
        lags = caught_up(session, &running, shutdown) => lags?,
        failed = first_failure(&mut tasks) => bail!(failed),
    };
    let took = writing.elapsed();
    stop.cancel();
    let mut reports = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        reports.push(ended??);
    }
    reports.sort_by_key(|(class, _)| *class);
    for worker in &running {
        worker.bar.finish_and_clear();
    }
    appended.finish_and_clear();
    if shutdown.is_cancelled() {
        bail!("interrupted: {} events were appended, and what was applied of them stays applied", thousands(written));
    }
    print(&format!("{}\n", partitions(&reports, &lags, took)))?;
    print(&format!(
        "{} events appended in {wrote_for:.1?}, all of them applied after {took:.1?}.\n\n",
        thousands(written)
    ))?;
    verify(session, args, started).await
}

fn start_workers(
    session: &Session,
    args: &DemoArgs,
    bars: &MultiProgress,
    tasks: &mut JoinSet<anyhow::Result<(Class, Report)>>,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<Running>> {
    let total = args.tuning.total_partitions;
    let mut running = Vec::new();
    for key in 0..total {
        let class = Class::partition(key, total)?;
        let worker = args.tuning.worker(class);
        let bar = bars.add(bar("", args.events / u64::from(total)).with_prefix(format!("worker {class}")));
        running.push(Running { class, progress: worker.progress(), bar });
        let (database, options, stop) = (session.database.clone(), args.tuning.run_options(), stop.clone());
        tasks.spawn(async move { Ok((class, projection::run(&database, worker, &options, stop).await?)) });
    }
    Ok(running)
}

/// Draws the workers' bars for as long as it is polled.
async fn draw(running: &[Running]) {
    loop {
        for Running { progress, bar, .. } in running {
            bar.set_length(bar.length().unwrap_or_default().max(progress.applied()));
            bar.set_position(progress.applied());
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Ends only when a worker does, which none should before it is told to.
async fn first_failure(tasks: &mut JoinSet<anyhow::Result<(Class, Report)>>) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Ok(Err(error))) => error,
        Some(Err(panic)) => panic.into(),
        _ => anyhow::anyhow!("a worker ended before it was told to"),
    }
}

/// Waits until the database says that no partition has an event left, and gives each one's lag.
async fn caught_up(session: &Session, running: &[Running], shutdown: &CancellationToken) -> anyhow::Result<Vec<Lag>> {
    let mut conn = session.connect().await?;
    loop {
        let mut lags = Vec::new();
        for Running { class, progress, bar } in running {
            lags.push(checkpoint::lag(&mut conn, NAME, *class, &Interest::everything()).await?);
            bar.set_length(progress.applied() + lags.last().map_or(0, |lag| lag.events));
            bar.set_position(progress.applied());
        }
        if shutdown.is_cancelled() || lags.iter().all(|lag| lag.events == 0) {
            return Ok(lags);
        }
        tokio::time::sleep(TICK).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares and rates to look at")]
fn partitions(reports: &[(Class, Report)], lags: &[Lag], took: Duration) -> String {
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
                format!("{:.0}/s", report.applied as f64 / took.as_secs_f64()),
                thousands(lag.events),
                thousands(report.batches),
                format!("{:.0} %", report.compute.as_secs_f64() * 100.0 / busy.as_secs_f64().max(f64::EPSILON)),
            ]
        })
        .collect();
    table(&["partition", "events", "share", "rate", "lag", "batches", "compute"], &rows, 1)
}

async fn verify(session: &Session, args: &DemoArgs, started: Instant) -> anyhow::Result<()> {
    let mut conn = session.connect().await?;
    print(&format!("{}\n", counters::render(&top(&mut conn, 5).await?)))?;
    let differ = mismatches(&mut conn, &args.tuning.amount_pointer, SHOWN).await.context("recomputing the counters")?;
    if differ.is_empty() {
        let (counters, events) = totals(&mut conn).await?;
        return print(&format!(
            "Recomputed by one SQL query over the whole log: all {} counters agree\n({} events). {:.0?} in all.\n",
            thousands(counters),
            thousands(events),
            started.elapsed()
        ));
    }
    for m in &differ {
        let (log, read_model) = (told(m.log), told(m.read_model));
        print(&format!("{}/{}: the log says {log}, the read model {read_model}\n", m.aggregate_type, m.aggregate_id))?;
    }
    bail!(
        "the counters listed above do not agree with the log: `evenfold repair --start-over {NAME}` has them built anew"
    )
}

fn told(counter: Option<(i64, i64)>) -> String {
    counter.map_or_else(
        || "nothing".to_owned(),
        |(events, value)| format!("{} events with the value {}", thousands(events), thousands(value)),
    )
}
