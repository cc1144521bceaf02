//! `rebuild`: the counters, folded anew from the whole log.

use super::output::{print, thousands};
use super::progress::bar;
use super::session::Session;
use super::{Global, signals};
use crate::config::number;
use clap::Args;
use evenfold::checkpoint::status;
use evenfold::counter::AmountPointer;
use evenfold::counters::{Counters, NAME, Rebuild, RebuildError, Rebuilt};
use evenfold::projection::Progress;
use indicatif::ProgressBar;
use std::time::Duration;

/// How often the progress bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Events of one transaction, and counters in memory.
const BATCH: usize = 50_000;
const MAX_ACTORS: usize = 200_000;

#[derive(Debug, Args)]
pub(super) struct RebuildArgs {
    /// Which projection
    #[arg(long, default_value = NAME, value_name = "PROJECTION", value_parser = [NAME])]
    projection: String,
    /// The amount pointer that the workers have
    #[arg(long, env = "EVENFOLD_AMOUNT_POINTER", default_value = "/amount", value_name = "POINTER")]
    amount_pointer: AmountPointer,
    /// Allow another amount pointer than the workers have, and make it the projection's when the counters are replaced:
    /// workers with the old one end then
    #[arg(long)]
    new_definition: bool,
    /// Events of one transaction: 1 to 50000
    #[arg(long, default_value = "50000", value_name = "EVENTS", value_parser = |t: &str| number::<usize>(t, &(1..=BATCH)))]
    batch_size: usize,
}

pub(super) async fn run(global: &Global, args: RebuildArgs) -> anyhow::Result<()> {
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let mut conn = session.connect().await?;
    let mut rebuild = Rebuild::new(Counters::new(args.amount_pointer, MAX_ACTORS), args.batch_size)?;
    if args.new_definition {
        rebuild = rebuild.with_new_definition();
    }
    let progress = rebuild.progress();
    let reached = status(session.database.schema(), &mut conn, NAME)
        .await?
        .classes
        .iter()
        .map(|class| class.position)
        .max()
        .unwrap_or_default();
    let bar = bar("replayed", reached.get().unsigned_abs());
    let outcome = tokio::select! {
        outcome = rebuild.run(&session.database, &shutdown) => outcome,
        never = draw(&progress, &bar) => match never {},
    };
    bar.finish_and_clear();
    drop(conn);
    session.close().await?;
    let applied = thousands(progress.applied());
    match outcome {
        Err(RebuildError::Run(passes)) if !passes.is_final() => {
            anyhow::bail!("{passes}; run it again: it goes on where it was")
        }
        Err(error) => Err(error.into()),
        Ok(Rebuilt::Switched) => {
            print(&format!("replayed {applied} events; the rebuilt {} are in use\n", args.projection))
        }
        Ok(Rebuilt::Stopped) => {
            print(&format!("stopped after {applied} events; run it again to go on\n"))?;
            anyhow::bail!("the rebuild is not complete, and the {} in use are as they were", args.projection)
        }
        Ok(Rebuilt::NothingThere) => {
            print(&format!("there is nothing to rebuild: no worker of {} has run\n", args.projection))
        }
    }
}

/// Draws the position that the replay has reached, for as long as it is polled.
async fn draw(progress: &Progress, bar: &ProgressBar) -> std::convert::Infallible {
    loop {
        bar.set_position(progress.position().get().unsigned_abs());
        tokio::time::sleep(TICK).await;
    }
}
