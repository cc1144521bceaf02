//! The commands, and what runs each.

use super::Global;
#[cfg(feature = "cache")]
use super::cache;
#[cfg(feature = "monitor")]
use super::monitor;
use super::projections::Projections;
#[cfg(feature = "serve")]
use super::serve;
use super::{
    append, bench, counters, db, demo, erase, generate, health, import, index, manual, migrate, parked, pool,
    projection, rebuild, repair, scale, source, status, uninstall, verify, wait, worker,
};
use clap::{Parser, Subcommand};

/// Folds an event log kept in PostgreSQL into read models, exactly once.
///
/// Without a command, `evenfold` is `evenfold worker`. Without a database URL it runs its own PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "evenfold", version, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Apply the events of one partition to the counters (the default)
    Worker(worker::WorkerArgs),
    /// Apply the events of several partitions, each with a worker of its own
    Pool(pool::PoolArgs),
    /// Show how far each partition is, who is at work on it, and what is parked
    Status(status::StatusArgs),
    /// Wait until a projection has applied events: everything in the log, an aggregate's, or those at some positions
    Wait(wait::WaitArgs),
    /// Fold the log again and compare it with the read models; works while workers run
    Verify(verify::VerifyArgs),
    /// Append events from standard input, one JSON object per line
    Append(append::AppendArgs),
    /// Write sample events
    Generate(generate::GenerateCommand),
    /// Print the read model
    Counters(counters::CountersArgs),
    /// Show all of it at work: writers, workers, and the proof that nothing was lost
    Demo(demo::DemoArgs),
    /// Change the number of partitions under load, and show what it costs and that nothing is lost
    Scale(scale::ScaleArgs),
    /// Measure how fast it is here, against what the database can do at best
    ///
    /// Each benchmark works in a schema of its own, which is removed afterwards. Each figure is a ratio to a yardstick
    /// that is measured in the same run. A missed goal is no error: the exit code is 0 once there are figures.
    Bench(bench::BenchArgs),
    /// Look after projections in SQL, which are files in the directory projections
    Projection(projection::ProjectionCommand),
    /// Copy a log that others write into evenfold's own, with its times and ids; again, from where it has stopped
    Import(import::ImportArgs),
    /// Look at logs that others write: which can be folded, and what keeps the others from it
    Source(source::SourceCommand),
    /// Look after events that could not be applied
    Parked(parked::ParkedArgs),
    /// Create evenfold's tables, or bring them up to date
    Migrate,
    /// Remove everything of evenfold's from a database: the schema with all that is in it, after asking
    Uninstall(uninstall::UninstallArgs),
    /// Build or drop an index with which each of many workers reads its own events only
    Index(index::IndexArgs),
    /// Fold the whole log anew, next to the read model in use, and switch over; works while workers run
    Rebuild(rebuild::RebuildArgs),
    /// Erase what the events of an aggregate contain, for good, after asking; or list what was erased
    Erase(erase::EraseArgs),
    /// Make a log usable that was restored from another PostgreSQL cluster
    Repair(repair::RepairArgs),
    /// Ask an address whether all is well there, as the health check of a container does: exit code 0 if it answers 2xx
    Health(health::HealthArgs),
    /// Start, stop or find evenfold's own PostgreSQL
    Db(db::DbArgs),
    /// Print what a shell needs to complete the command line: evenfold completions bash
    Completions(manual::CompletionsArgs),
    /// Write the manual pages
    Man(manual::ManArgs),
    #[cfg(feature = "monitor")]
    /// Show every projection of the database over HTTP: a page, figures for Prometheus and probes
    Monitor(monitor::MonitorArgs),
    #[cfg(feature = "serve")]
    /// Serve counters over HTTP, on one node or in a cluster over NATS
    Serve(Box<serve::ServeArgs>),
    #[cfg(feature = "cache")]
    /// Serve a cache over HTTP; needs no database
    Cache(cache::CacheArgs),
}

/// What is logged by default.
pub(crate) fn log(command: &Command) -> &'static str {
    match command {
        Command::Worker(_) => "info",
        #[cfg(feature = "monitor")]
        Command::Monitor(_) => "info",
        #[cfg(feature = "cache")]
        Command::Cache(_) => "info",
        // Each node has a connection of its own to NATS, of which the client logs every step and every attempt; what
        // matters of that is logged by the node, or is why the command ends.
        #[cfg(feature = "serve")]
        Command::Serve(_) => "info,async_nats=off",
        _ => "warn",
    }
}

/// Whether its traces and metrics are exported.
pub(crate) fn exports(command: &Command) -> bool {
    match command {
        Command::Worker(_) | Command::Pool(_) => true,
        #[cfg(feature = "cache")]
        Command::Cache(_) => true,
        #[cfg(feature = "serve")]
        Command::Serve(_) => true,
        _ => false,
    }
}

/// What a command makes of a log that others write.
enum Folds {
    /// It works on one as on evenfold's own.
    AnyLog,
    /// It reads or writes evenfold's own, and is called so.
    OwnLog(&'static str),
    /// It is about no log, makes one for itself, or is about those of others alone.
    None,
}

/// What each command makes of a log that others write: the one place where a command that supports them says so.
fn folds(command: &Command) -> Folds {
    match command {
        Command::Worker(_)
        | Command::Pool(_)
        | Command::Status(_)
        | Command::Wait(_)
        | Command::Verify(_)
        | Command::Parked(_)
        | Command::Rebuild(_)
        | Command::Import(_) => Folds::AnyLog,
        #[cfg(feature = "monitor")]
        Command::Monitor(_) => Folds::AnyLog,
        Command::Append(_) => Folds::OwnLog("append"),
        Command::Generate(_) => Folds::OwnLog("generate"),
        Command::Scale(_) => Folds::OwnLog("scale"),
        Command::Bench(_) => Folds::OwnLog("bench"),
        Command::Projection(command) if command.reads_the_log() => Folds::OwnLog("projection check"),
        Command::Index(_) => Folds::OwnLog("index"),
        Command::Erase(_) => Folds::OwnLog("erase"),
        Command::Repair(_) => Folds::OwnLog("repair"),
        #[cfg(feature = "serve")]
        Command::Serve(_) => Folds::OwnLog("serve"),
        #[cfg(feature = "cache")]
        Command::Cache(_) => Folds::None,
        Command::Counters(_)
        | Command::Demo(_)
        | Command::Projection(_)
        | Command::Source(_)
        | Command::Migrate
        | Command::Uninstall(_)
        | Command::Health(_)
        | Command::Db(_)
        | Command::Completions(_)
        | Command::Man(_) => Folds::None,
    }
}

/// Runs a command.
pub(crate) async fn run(Cli { global, command }: Cli, known: &Projections<'_>) -> anyhow::Result<()> {
    match folds(&command) {
        Folds::OwnLog(name) => global.source.refuse_for(name)?,
        // Refused, if it is, before there is a connection.
        Folds::AnyLog => drop(global.source.mapping()?),
        Folds::None => {}
    }
    match command {
        Command::Worker(args) => worker::run(&global, args, known).await,
        Command::Pool(args) => pool::run(&global, args, known).await,
        Command::Status(args) => status::run(&global, args, known).await,
        Command::Wait(args) => wait::run(&global, args, known).await,
        Command::Verify(args) => verify::run(&global, args, known).await,
        Command::Append(args) => append::run(&global, &args).await,
        Command::Generate(args) => generate::run(&global, args).await,
        Command::Counters(args) => counters::run(&global, args).await,
        Command::Demo(args) => demo::run(&global, args).await,
        Command::Scale(args) => scale::run(&global, args).await,
        Command::Bench(args) => bench::run(&global, args).await,
        Command::Parked(args) => parked::run(&global, args, known).await,
        Command::Projection(args) => projection::run(&global, args).await,
        Command::Import(args) => Box::pin(import::run(&global, &args)).await,
        Command::Source(args) => source::run(&global, args, known).await,
        Command::Migrate => migrate::run(&global).await,
        Command::Uninstall(args) => uninstall::run(&global, &args).await,
        Command::Index(args) => index::run(&global, args).await,
        Command::Rebuild(args) => rebuild::run(&global, args, known).await,
        Command::Erase(args) => erase::run(&global, args).await,
        Command::Repair(args) => repair::run(&global, args).await,
        Command::Health(args) => health::run(args).await,
        Command::Db(args) => db::run(&global, &args).await,
        Command::Completions(args) => manual::completions(&args, known.command.clone()),
        Command::Man(args) => manual::man(&args, known.command.clone()),
        #[cfg(feature = "monitor")]
        Command::Monitor(args) => monitor::run(&global, args, known).await,
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&global, *args).await,
        #[cfg(feature = "cache")]
        Command::Cache(args) => cache::run(args).await,
    }
}
