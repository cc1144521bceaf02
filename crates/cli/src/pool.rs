//! `pool`: several partitions in one process, of each of the projections.

use super::ended::{Ended, OTHERS_END, failures, log_new};
#[cfg(feature = "monitor")]
use super::http::HttpArgs;
use super::output::{print, table, thousands};
use super::panel::Panel;
use super::projections::{Projections, ProjectionsArg};
use super::registry::On;
use super::session::Session;
use super::tuning::{Topology, WorkerSettings};
use super::{Global, signals, source, telemetry};
use crate::config::{UsageError, number};
use anyhow::bail;
use clap::Args;
use evenfold::class::Class;
use evenfold::projection::{MAX_WORKERS, Pool, Process};
use futures_util::future::select_all;
use std::ops::Range;

#[derive(Debug, Args)]
pub(super) struct PoolArgs {
    /// How many partitions, all of them in this process: 1 to 1024
    #[arg(long, value_name = "N", conflicts_with = "partitions", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_WORKERS)))]
    workers: Option<u32>,
    /// Which of the total partitions: 0..2 is the first two [default: all]
    #[arg(long, value_name = "FROM..TO", value_parser = range)]
    partitions: Option<Range<u32>>,
    #[command(flatten)]
    of: Topology,
    /// Exit when nothing is left to apply
    #[arg(long)]
    until_caught_up: bool,
    #[command(flatten)]
    projections: ProjectionsArg,
    #[command(flatten)]
    settings: WorkerSettings,
    #[cfg(feature = "monitor")]
    #[command(flatten)]
    http: HttpArgs,
}

fn range(text: &str) -> Result<Range<u32>, String> {
    let bounds = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    bounds.filter(|range: &Range<u32>| !range.is_empty()).ok_or_else(|| "it must be a range such as 0..2".to_owned())
}

pub(super) async fn run(global: &Global, args: PoolArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let total = args.workers.unwrap_or(args.of.total_partitions);
    let keys = args.partitions.clone().unwrap_or(0..total);
    let partitions: Vec<Class> = keys
        .map(|key| {
            let corrected = |error| UsageError(format!("{error}: correct --partitions or --total-partitions"));
            Class::partition(key, total).map_err(corrected)
        })
        .collect::<Result<_, _>>()?;
    let chosen = known.all_configured(&args.projections, Some(args.settings.batch_size))?;
    if partitions.len() * chosen.len() > MAX_WORKERS as usize {
        let of_all = if chosen.len() > 1 { format!(" of all {} projections", chosen.len()) } else { String::new() };
        let sentence = format!(
            "one process has at most {MAX_WORKERS} of the {total} partitions{of_all}: choose them with --partitions"
        );
        return Err(UsageError(sentence).into());
    }
    let options = args.settings.run_options().until_caught_up(args.until_caught_up);
    let shutdown = signals::shutdown()?;
    #[cfg(feature = "monitor")]
    let http = args.http.bind().await?;
    let session = Session::open(global).await?;
    drop(session.connect().await?);
    let source = source::open(global, &session).await?;
    let worker = args.settings.worker_options(args.of.takeover());
    let process = Process::new(&session.database);
    telemetry::observe(&process);
    #[cfg(feature = "monitor")]
    let _answering = http.map(|http| http.answer(&process, options.poll_interval)).transpose()?;
    let on = On { process: &process, worker, run: &options, shutdown: &shutdown, source: source.as_ref() };
    let mut pools = Vec::with_capacity(chosen.len());
    for (name, projection) in &chosen {
        pools.push((name.clone(), projection.pool(on.clone(), &partitions)?));
    }
    let ended = watch(pools).await;
    process.close().await;
    session.close().await?;
    for (name, _) in &chosen {
        let heading = if chosen.len() > 1 { format!("{name}\n") } else { String::new() };
        let own: Vec<&Ended> = ended.iter().filter(|one| one.projection == *name).collect();
        print(&format!("{heading}{}", summary(&own)))?;
    }
    match failures(&ended) {
        Some(failures) => bail!(failures),
        None => Ok(()),
    }
}

/// Draws the table of progress until every worker has ended.
async fn watch(mut pools: Vec<(String, Pool)>) -> Vec<Ended> {
    let mut panel = Panel::of_all(&pools);
    let (mut ended, mut logged) = (Vec::new(), 0);
    while !pools.is_empty() {
        let next = select_all(pools.iter_mut().map(|(_, pool)| Box::pin(pool.ended())));
        let next = tokio::select! {
            (next, index, _) = next => Some((next, index)),
            never = panel.draw() => match never {},
            () = tokio::time::sleep(OTHERS_END), if logged < ended.len() => None,
        };
        match next {
            Some((Some((partition, outcome)), index)) => {
                let projection = pools[index].0.clone();
                ended.push(Ended { projection, partition: Some(partition), outcome });
            }
            Some((None, index)) => drop(pools.remove(index)),
            None => log_new(&ended, &mut logged),
        }
    }
    panel.clear();
    ended.sort_by_key(|one| one.partition);
    ended
}

fn summary(ended: &[&Ended]) -> String {
    let cells = |one: &&Ended| {
        let partition = one.partition.map_or_else(String::new, |partition| partition.to_string());
        match &one.outcome {
            Ok(report) => vec![
                partition,
                thousands(report.applied),
                thousands(report.parked),
                thousands(report.batches),
                format!("{:.1?}", report.elapsed),
            ],
            // A sentence would not fit into a table: it comes below.
            Err(_) => vec![partition, "failed".to_owned()],
        }
    };
    let rows: Vec<Vec<String>> = ended.iter().map(cells).collect();
    table(&["partition", "events", "parked", "batches", "time"], &rows, 1)
}
