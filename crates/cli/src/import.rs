//! `import`: a log that others write, copied into evenfold's own.

use super::output::{print, thousands};
use super::progress::endless;
use super::session::Session;
use super::{Global, signals, source};
use crate::config::{UsageError, number};
use clap::Args;
use evenfold::class::Class;
use evenfold::import::Import;
use evenfold::log::MAX_APPEND_EVENTS;
use evenfold::projection::{Progress, Report, RunOptions, Worker, WorkerOptions, run as run_worker};
use indicatif::ProgressBar;
use std::time::Duration;

/// How often the number is drawn.
const TICK: Duration = Duration::from_millis(100);

/// How often a log is looked at of which nobody notifies.
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Go on as others append, until it is stopped
    #[arg(long)]
    follow: bool,
    /// Events of one transaction: 1 to 10000
    #[arg(long, default_value = "10000", value_name = "EVENTS", value_parser = |t: &str| number::<usize>(t, &(1..=MAX_APPEND_EVENTS)))]
    batch_size: usize,
}

pub(super) async fn run(global: &Global, args: &ImportArgs) -> anyhow::Result<()> {
    let which = || UsageError("which log is to be imported? give --source, and --source-url where it is".to_owned());
    if global.source.mapping()?.is_none() {
        return Err(which().into());
    }
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let source = source::open(global, &session).await?.ok_or_else(which)?;
    let options = WorkerOptions::default().batch_size(args.batch_size);
    let worker = Worker::new(Class::partition(0, 1)?, Import::of(&source), options);
    let (progress, bar) = (worker.progress(), endless("imported"));
    let options = RunOptions::default().until_caught_up(!args.follow).poll_interval(POLL);
    let outcome = tokio::select! {
        outcome = run_worker(&session.database, worker, &options, shutdown.clone()) => outcome,
        never = draw(&progress, &bar) => match never {},
    };
    bar.finish_and_clear();
    session.close().await?;
    let Report { applied, .. } = outcome?;
    let events = thousands(applied);
    print(&if args.follow || shutdown.is_cancelled() {
        format!("imported {events} events before it was stopped; run it again to go on\n")
    } else {
        format!("imported {events} events: all that {source} had; run it again for those that come\n")
    })
}

/// Draws how many are imported, for as long as it is polled.
async fn draw(progress: &Progress, bar: &ProgressBar) -> std::convert::Infallible {
    loop {
        bar.set_position(progress.applied());
        tokio::time::sleep(TICK).await;
    }
}
