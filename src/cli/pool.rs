use super::output::{print, table, thousands};
use super::panel::Panel;
use super::session::Session;
use super::worker::{Topology, Tuning};
use super::{Global, signals};
use anyhow::bail;
use clap::Args;
use evenfold::class::Class;
use evenfold::config::{UsageError, number};
use evenfold::group::MAX_SHARDS;
use evenfold::projection::{Pool, Report, RunError, RunOptions};
use indicatif::MultiProgress;
use std::ops::Range;

#[derive(Debug, Args)]
pub(super) struct PoolArgs {
    /// How many partitions, all of them in this process: 1 to 1024
    #[arg(long, value_name = "N", conflicts_with = "partitions", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_SHARDS)))]
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
    tuning: Tuning,
}

fn range(text: &str) -> Result<Range<u32>, String> {
    let bounds = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    bounds.filter(|range: &Range<u32>| !range.is_empty()).ok_or_else(|| "it must be a range such as 0..2".to_owned())
}

pub(super) async fn run(global: &Global, args: PoolArgs) -> anyhow::Result<()> {
    let total = args.workers.unwrap_or(args.of.total_partitions);
    let keys = args.partitions.clone().unwrap_or(0..total);
    let partitions: Vec<Class> = keys
        .map(|key| Class::partition(key, total).map_err(|error| UsageError(error.to_string())))
        .collect::<Result<_, _>>()?;
    if partitions.len() > MAX_SHARDS as usize {
        let sentence =
            format!("one process has at most {MAX_SHARDS} of the {total} partitions: choose them with --partitions");
        return Err(UsageError(sentence).into());
    }
    args.tuning.check()?;
    let options = RunOptions { until_caught_up: args.until_caught_up, ..args.tuning.run_options() };
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    drop(session.connect().await?);
    let (tuning, takeover) = (args.tuning.clone(), args.of.takeover());
    let make = move |class| tuning.worker(class, takeover);
    let pool = Pool::start(&session.database, &partitions, make, &options, &shutdown).await?;
    let ended = watch(pool).await;
    session.close().await?;
    print(&summary(&ended))?;
    match ended.into_iter().find_map(|(_, report)| report.err()) {
        Some(error) => bail!(error),
        None => Ok(()),
    }
}

/// Draws the table of progress until every worker has ended.
async fn watch(mut pool: Pool) -> Vec<(Class, Result<Report, RunError>)> {
    let panel = Panel::new(&MultiProgress::new(), &pool);
    let mut ended = Vec::new();
    loop {
        tokio::select! {
            next = pool.ended() => match next {
                Some(one) => ended.push(one),
                None => break,
            },
            never = panel.draw() => match never {},
        }
    }
    panel.clear();
    ended.sort_by_key(|(partition, _)| *partition);
    ended
}

fn summary(ended: &[(Class, Result<Report, RunError>)]) -> String {
    let rows: Vec<Vec<String>> = ended
        .iter()
        .map(|(partition, report)| match report {
            Ok(report) => vec![
                partition.to_string(),
                thousands(report.applied),
                thousands(report.parked),
                thousands(report.batches),
                format!("{:.1?}", report.elapsed),
            ],
            Err(error) => vec![partition.to_string(), error.to_string()],
        })
        .collect();
    table(&["partition", "events", "parked", "batches", "time"], &rows, 1)
}
