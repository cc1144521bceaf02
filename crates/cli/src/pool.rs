//! `pool`: several partitions in one process.

use super::output::{print, table, thousands};
use super::panel::Panel;
use super::projections::{ProjectionArg, Projections};
use super::registry::On;
use super::session::Session;
use super::tuning::{Topology, WorkerSettings};
use super::{Global, signals};
use crate::config::{UsageError, number};
use anyhow::bail;
use clap::Args;
use evenfold::class::Class;
use evenfold::projection::{MAX_WORKERS, Pool, Report, RunError};
use std::ops::Range;
use std::time::Duration;

/// A partition that has ended for good is an error in the log when others go on for longer than this.
const OTHERS_END: Duration = Duration::from_secs(1);

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
    projection: ProjectionArg,
    #[command(flatten)]
    settings: WorkerSettings,
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
    if partitions.len() > MAX_WORKERS as usize {
        let sentence =
            format!("one process has at most {MAX_WORKERS} of the {total} partitions: choose them with --partitions");
        return Err(UsageError(sentence).into());
    }
    let (_, projection) = known.configured(&args.projection, Some(args.settings.batch_size))?;
    let options = args.settings.run_options().until_caught_up(args.until_caught_up);
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    drop(session.connect().await?);
    let worker = args.settings.worker_options(args.of.takeover());
    let on = On { database: &session.database, worker, run: &options, shutdown: &shutdown };
    let pool = projection.pool(on, &partitions)?;
    let ended = watch(pool).await;
    session.close().await?;
    print(&summary(&ended))?;
    match failures(&ended) {
        Some(failures) => bail!(failures),
        None => Ok(()),
    }
}

/// Draws the table of progress until every worker has ended.
async fn watch(mut pool: Pool) -> Vec<(Class, Result<Report, RunError>)> {
    let mut panel = Panel::new(&pool);
    let (mut ended, mut logged) = (Vec::new(), 0);
    loop {
        tokio::select! {
            next = pool.ended() => match next {
                Some(one) => ended.push(one),
                None => break,
            },
            never = panel.draw() => match never {},
            // Where all end together, the command ends with the reason.
            () = tokio::time::sleep(OTHERS_END), if logged < ended.len() => {
                for (partition, outcome) in &ended[logged..] {
                    if let Err(error) = outcome {
                        tracing::error!(%partition, "nobody works on this partition here any more: {error}");
                    }
                }
                logged = ended.len();
            }
        }
    }
    panel.clear();
    ended.sort_by_key(|(partition, _)| *partition);
    ended
}

fn summary(ended: &[(Class, Result<Report, RunError>)]) -> String {
    let cells = |(partition, report): &(Class, Result<Report, RunError>)| match report {
        Ok(report) => vec![
            partition.to_string(),
            thousands(report.applied),
            thousands(report.parked),
            thousands(report.batches),
            format!("{:.1?}", report.elapsed),
        ],
        // A sentence would not fit into a table: it comes below.
        Err(_) => vec![partition.to_string(), "failed".to_owned()],
    };
    let rows: Vec<Vec<String>> = ended.iter().map(cells).collect();
    table(&["partition", "events", "parked", "batches", "time"], &rows, 1)
}

/// Why partitions ended that were not to: each reason once, with the partitions that it ended.
fn failures(ended: &[(Class, Result<Report, RunError>)]) -> Option<String> {
    let mut reasons: Vec<(String, String, Vec<String>)> = Vec::new();
    for (partition, error) in ended.iter().filter_map(|(partition, report)| Some((partition, report.as_ref().err()?))) {
        let (partition, sentence) = (partition.to_string(), error.to_string());
        // Sentences that differ in the partition alone are one reason.
        let reason = sentence.replace(&partition, "");
        match reasons.iter_mut().find(|(known, ..)| *known == reason) {
            Some((.., partitions)) => partitions.push(partition),
            None => reasons.push((reason, sentence, vec![partition])),
        }
    }
    let told = reasons.iter().map(|(_, sentence, partitions)| match &partitions[..] {
        [one, _, _, _, _, ..] => format!("{one} and {} more partitions: {sentence}", partitions.len() - 1),
        few => format!("{}: {sentence}", few.join(", ")),
    });
    Some(told.collect::<Vec<_>>().join("; ")).filter(|told| !told.is_empty())
}
