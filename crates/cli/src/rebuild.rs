//! `rebuild`: a projection, folded anew from the whole log.

use super::output::{print, thousands};
use super::progress::{bar, endless};
use super::projections::{ProjectionArg, Projections};
use super::registry::Configured;
use super::session::Session;
use super::source::Logs;
use super::verify::PointerArg;
use super::{Global, signals};
use crate::config::{UsageError, number};
use clap::{Args, FromArgMatches};
use evenfold::checkpoint::status_of;
use evenfold::counters::{Counters, NAME, Rebuild};
use evenfold::log::Source;
use evenfold::projection::{MAX_WORKERS, Progress};
use evenfold::shadow::{RebuildError, RebuildOptions, Rebuilt, Switch, TablesRebuilt};
use indicatif::ProgressBar;
use std::time::Duration;

/// How often the progress bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Events of one transaction, and counters in memory.
const BATCH: usize = 50_000;
const MAX_ACTORS: usize = 200_000;

#[derive(Debug, Args)]
pub(super) struct RebuildArgs {
    #[command(flatten)]
    projection: ProjectionArg,
    /// Allow other settings than the workers have, and make them the projection's when it is switched over: workers
    /// with the old ones end then. A file of SQL needs no permission: its definition is the file
    #[arg(long)]
    new_definition: bool,
    /// Events of one transaction: 1 to 50000
    #[arg(long, default_value = "50000", value_name = "EVENTS", value_parser = |t: &str| number::<usize>(t, &(1..=BATCH)))]
    batch_size: usize,
    /// How many workers fold, each a part of the aggregates: 1 to 1024 [default: 1]; the counters have one
    #[arg(long, value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_WORKERS)))]
    workers: Option<u32>,
    /// Keep the old tables, in a schema of their own, where others take their place
    #[arg(long)]
    keep_old: bool,
}

pub(super) async fn run(global: &Global, args: RebuildArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let name = known.name_or_counters(&args.projection)?;
    if known.is_counters(name) {
        if args.workers.is_some() || args.keep_old {
            let sentence =
                "the counters are rebuilt by one worker, and their table stays: leave out --workers and --keep-old";
            return Err(UsageError(sentence.to_owned()).into());
        }
        return counters(global, &args, PointerArg::from_arg_matches(known.matches)?).await;
    }
    let projection = known.one(name, None)?;
    let options = RebuildOptions::default()
        .workers(args.workers.unwrap_or(1))
        .batch_size(args.batch_size)
        .new_definition(args.new_definition || known.is_file(name))
        .keep_old(args.keep_old);
    tables(global, name, &*projection, &options).await
}

async fn tables(
    global: &Global,
    name: &str,
    projection: &dyn Configured,
    options: &RebuildOptions,
) -> anyhow::Result<()> {
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let source = source_of(global, &session, name).await?;
    let bar = endless("folded");
    let watch = |applied| bar.set_position(applied);
    let outcome = projection.rebuild((&session.database, source.as_ref()), options, &shutdown, &watch).await;
    bar.finish_and_clear();
    session.close().await?;
    let TablesRebuilt { outcome, applied, switch, .. } = outcome.map_err(advised)?;
    match outcome {
        Rebuilt::Switched => {
            let done = switch.as_ref().map(done).unwrap_or_default();
            print(&format!("folded {} events; the rebuilt {name} is in use:\n{done}\n", thousands(applied)))
        }
        other => unfinished(name, other, applied),
    }
}

/// The log of a projection, if others write it.
async fn source_of(global: &Global, session: &Session, name: &str) -> anyhow::Result<Option<Source>> {
    let mut conn = session.connect().await?;
    let logs = Logs::open(global, session).await?;
    Ok(logs.source_of(session.database.schema(), &mut conn, name).await?.cloned())
}

/// What was done to the tables in use.
fn done(switch: &Switch) -> String {
    match switch {
        Switch::Rows(0) => "no row was another".to_owned(),
        Switch::Rows(rows) => format!("{} rows that were others were written", thousands(*rows)),
        Switch::Tables { names, kept } => {
            let names = names.join(", ");
            match kept {
                Some(schema) => format!(
                    "the new {names}; what was there before is kept until you drop it:\nDROP SCHEMA {schema} CASCADE"
                ),
                None => format!("the new {names}; what was there before is dropped"),
            }
        }
        _ => String::new(),
    }
}

async fn counters(global: &Global, args: &RebuildArgs, pointer: PointerArg) -> anyhow::Result<()> {
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let mut conn = session.connect().await?;
    let mut logs = Logs::open(global, &session).await?;
    let (source, log) = logs.of(session.database.schema(), &mut conn, NAME).await?.unzip();
    let counters = Counters::new(pointer.amount_pointer, MAX_ACTORS);
    let mut rebuild = Rebuild::of_source(counters, source.cloned(), args.batch_size)?;
    if args.new_definition {
        rebuild = rebuild.with_new_definition();
    }
    let progress = rebuild.progress();
    let reached = status_of(session.database.schema(), &mut conn, log, NAME)
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
    match outcome.map_err(advised)? {
        Rebuilt::Switched => {
            print(&format!("replayed {} events; the rebuilt {NAME} are in use\n", thousands(progress.applied())))
        }
        other => unfinished(NAME, other, progress.applied()),
    }
}

/// That it goes on where it was, after what passes.
fn advised(error: RebuildError) -> anyhow::Error {
    if error.is_final() { error.into() } else { anyhow::anyhow!("{error}; run it again: it goes on where it was") }
}

fn unfinished(name: &str, outcome: Rebuilt, applied: u64) -> anyhow::Result<()> {
    if outcome == Rebuilt::NothingThere {
        return print(&format!("there is nothing to rebuild: no worker of {name} has run\n"));
    }
    print(&format!("stopped after {} events; run it again to go on\n", thousands(applied)))?;
    anyhow::bail!("the rebuild is not complete, and the {name} in use are as they were")
}

/// Draws the position that the replay has reached, for as long as it is polled.
async fn draw(progress: &Progress, bar: &ProgressBar) -> std::convert::Infallible {
    loop {
        bar.set_position(progress.position().get().unsigned_abs());
        tokio::time::sleep(TICK).await;
    }
}
