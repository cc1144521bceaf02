//! The number of partitions changes while the log is replayed.

use super::catch_up::{failing, folded};
use super::copy::Source;
use super::scratch::{Scratch, within};
use crate::Global;
use crate::output::{print, thousands};
use crate::panel::TICK;
use crate::progress::endless;
use crate::projections::{ProjectionArg, Projections};
use crate::registry::{Configured, On};
use crate::scale::{Course, end, render, steps, walk};
use crate::session::Session;
use crate::signals;
use crate::tuning::WorkerSettings;
use anyhow::ensure;
use clap::Args;
use evenfold::checkpoint::{Takeover, status};
use evenfold::projection::{Process, Report};
use std::sync::{Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(crate) struct ReplayScaleArgs {
    #[command(flatten)]
    course: Course,
    #[command(flatten)]
    projection: ProjectionArg,
    #[command(flatten)]
    settings: WorkerSettings,
}

pub(super) async fn run(global: &Global, args: ReplayScaleArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let (name, projection) = known.configured(&args.projection, Some(args.settings.batch_size))?;
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let outcome =
        within(&session, &shutdown, "scale", async |scratch| show(&session, scratch, &args, name, &*projection).await);
    let outcome = Box::pin(outcome).await;
    session.close().await?;
    print(&outcome?)
}

async fn show(
    session: &Session,
    scratch: &Scratch,
    args: &ReplayScaleArgs,
    name: &str,
    projection: &dyn Configured,
) -> anyhow::Result<String> {
    let (path, rate) = (args.course.path(), args.course.rate);
    print(&format!("The log is replayed, {} events per second; partitions: {}\n", thousands(rate), steps(&path)))?;
    let appended = endless("appended");
    appended.enable_steady_tick(TICK);
    let (stop_writing, never) = (CancellationToken::new(), CancellationToken::new());
    // However this ends, the workers do.
    let _guard = never.clone().drop_guard();
    let process = Process::new(&scratch.database);
    let (options, worker) = (args.settings.run_options(), args.settings.worker_options(Takeover::Now));
    // Those of a replaced number go on until they notice: what they have applied is known in the end.
    let members = Mutex::new(Vec::new());
    let start = |partitions: &[_], stop: &CancellationToken| {
        let on = On { process: &process, worker: worker.clone(), run: &options, shutdown: stop, source: None };
        let pool = projection.pool(on, partitions)?;
        members.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(pool.members());
        Ok(pool)
    };
    let source = Source::open(&session.database).await?;
    let replaying = source.replay(&scratch.database, rate, &stop_writing, |events| appended.set_position(events));
    let walking = async {
        let walked = walk(&path, args.course.stage(), &never, start).await;
        stop_writing.cancel();
        walked
    };
    let known = || members.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let all = async {
        let (copied, walked) = tokio::join!(replaying, walking);
        let copied = copied?;
        ensure!(copied > 0, "the log has no event that could be replayed: append some first");
        caught_up(scratch, name).await?;
        Ok((copied, walked?))
    };
    let (copied, (stages, last, stop)) = tokio::select! {
        done = all => done?,
        failing = failing(known) => return Err(failing),
    };
    stop.cancel();
    end(last).await?;
    process.close().await;
    appended.finish_and_clear();
    let members = members.into_inner().unwrap_or_else(PoisonError::into_inner);
    let applied: u64 = members.iter().map(|member| member.progress.applied()).sum();
    let (alone, _) = folded(scratch, &args.settings, name, projection, 1).await?;
    Ok(format!("{}\n{}", render(&stages), compared(name, copied, applied, &alone)?))
}

/// What was applied, if it is as much as one worker applies to empty tables.
fn compared(name: &str, copied: u64, applied: u64, alone: &Report) -> anyhow::Result<String> {
    ensure!(
        applied == alone.applied,
        "{} events were applied while the number of partitions changed, and {} by one worker: the projection depends on more \
         than the log, or this is a mistake in evenfold: please report it then",
        thousands(applied),
        thousands(alone.applied)
    );
    Ok(format!(
        "{} events replayed: {} applied, {} parked, the rest not wanted.\nOne worker that applies them to empty tables \
         applies as many.\nAll of it was in a database that is removed now; {name} is as it was.\n",
        thousands(copied),
        thousands(applied),
        thousands(alone.parked)
    ))
}

/// Waits until every event of the copy is applied or parked.
async fn caught_up(scratch: &Scratch, name: &str) -> anyhow::Result<()> {
    let (own, mut conn) = (scratch.database.schema(), scratch.database.connect().await?);
    while status(own, &mut conn, name).await?.behind() > 0 {
        tokio::time::sleep(TICK).await;
    }
    Ok(())
}
