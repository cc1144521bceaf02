//! `status`: how a projection stands, counted in the database.

mod check;
mod fit;
mod look;
mod order;
mod reason;
mod render;
mod trouble;
mod watch;

use super::output::{complain, print, print_json};
use super::projections::{Projections, ProjectionsArg};
use super::{Global, signals};
use anyhow::bail;
use check::Limits;
use clap::Args;
use evenfold::checkpoint::{Extent, Status};
use look::Lookout;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Again every second, until Ctrl-C: on a terminal as much as fits, worst first. What is behind is estimated where
    /// it is more than 100,000 positions
    #[arg(long, conflicts_with = "check")]
    watch: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
    /// For probes: exit with 1, and a line per reason on standard error, if a class has no worker at work, or has
    /// parked aggregates, or is too far behind
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    projections: ProjectionsArg,
}

pub(super) async fn run(global: &Global, args: StatusArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let names = known.names(&args.projections);
    let shutdown = signals::shutdown()?;
    let mut lookout = Lookout::open(global, names).await?;
    let outcome = if args.watch {
        watch::watch(&mut lookout, args.json, &shutdown).await
    } else {
        match shutdown.run_until_cancelled(lookout.look(Extent::Bounded)).await {
            Some(Ok(all)) => shown(&all, &args),
            Some(Err(error)) => Err(error),
            None => Ok(()),
        }
    };
    // Our own server is left in order whatever there was to see.
    let closed = lookout.close().await;
    outcome?;
    closed
}

fn shown(all: &[Status], args: &StatusArgs) -> anyhow::Result<()> {
    let mut reasons = Vec::new();
    if args.check {
        reasons = all.iter().flat_map(|status| args.limits.wrong(status, all.len() > 1)).collect();
    }
    match args {
        StatusArgs { json: true, .. } => all.iter().try_for_each(print_json)?,
        StatusArgs { check: false, .. } => print(&render::report(all))?,
        _ if reasons.is_empty() => print(&all.iter().map(check::fine).collect::<String>())?,
        _ => {}
    }
    let Some(last) = reasons.pop() else { return Ok(()) };
    for reason in &reasons {
        complain(reason);
    }
    bail!(last)
}
