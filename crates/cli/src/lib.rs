//! The command line: one file per subcommand.

#![expect(clippy::doc_markdown, reason = "clap shows the comments on arguments to people, as they are")]

#[cfg(any(feature = "cache", feature = "serve"))]
mod access;
mod append;
#[doc(hidden)]
pub mod bench;
#[cfg(feature = "cache")]
mod cache;
pub mod config;
mod confirm;
mod counters;
mod db;
mod demo;
#[doc(hidden)]
pub mod done;
mod generate;
mod index;
mod migrate;
#[cfg(feature = "serve")]
#[doc(hidden)]
pub mod nats_server;
#[doc(hidden)]
pub mod output;
mod panel;
mod parked;
mod pool;
#[doc(hidden)]
pub mod progress;
mod rebuild;
mod repair;
mod scale;
#[cfg(feature = "serve")]
mod serve;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod signals;
mod status;
mod telemetry;
mod verify;
#[doc(hidden)]
pub mod worker;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use config::{Parsed, UsageError};
use evenfold::database::told;
use std::path::PathBuf;
use std::process::ExitCode;

/// Folds an event log kept in PostgreSQL into read models, exactly once.
///
/// Without a command, `evenfold` is `evenfold worker`. Without a database URL it runs its own PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "evenfold", version, subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[doc(hidden)]
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The database, as postgres://user:password@host:5432/database; without it, evenfold runs its own
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Where evenfold's own PostgreSQL keeps its data
    #[arg(long, global = true, env = "EVENFOLD_DATA_DIR", default_value = ".evenfold/pg", value_name = "DIR")]
    data_dir: PathBuf,
    /// Where PostgreSQL's programs are (initdb, pg_ctl, postgres); looked for in the usual places otherwise
    #[arg(long, global = true, env = "EVENFOLD_PG_BIN", value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// A file with settings: the flags' names with underscores [default: evenfold.toml, if it is there]
    #[arg(long, global = true, env = "EVENFOLD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: error, warn, info, debug or trace, also by module, as in evenfold=debug,warn [default: info for
    /// the worker and the services; for the rest warn, and the line that names the database]
    #[arg(long, global = true, env = "RUST_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Apply the events of one partition to the counters (the default)
    Worker(worker::WorkerArgs),
    /// Apply the events of several partitions, each with a worker of its own
    Pool(pool::PoolArgs),
    /// Show how far each partition is, who is at work on it, and what is parked
    Status(status::StatusArgs),
    /// Recompute the counters from the log and compare; works while workers run
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
    /// Look after events that could not be applied
    Parked(parked::ParkedArgs),
    /// Create evenfold's tables, or bring them up to date
    Migrate,
    /// Build or drop an index with which each of many workers reads its own events only
    Index(index::IndexArgs),
    /// Make the counters anew from the whole log, beside those in use, and switch over
    Rebuild(rebuild::RebuildArgs),
    /// Make a log usable that was restored from another PostgreSQL cluster
    Repair(repair::RepairArgs),
    /// Start, stop or find evenfold's own PostgreSQL
    Db(db::DbArgs),
    #[cfg(feature = "serve")]
    /// Serve counters over HTTP, on one node or in a cluster over NATS
    Serve(serve::ServeArgs),
    #[cfg(feature = "cache")]
    /// Serve a cache over HTTP; needs no database
    Cache(cache::CacheArgs),
}

/// The program `evenfold`.
///
/// The exit code is 2 for what was asked wrongly, and 1 for what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let level = |cli: &Cli| match cli.command {
        Command::Worker(_) => "info",
        #[cfg(feature = "cache")]
        Command::Cache(_) => "info",
        // Each node has a connection of its own to NATS, of which the client logs every step.
        #[cfg(feature = "serve")]
        Command::Serve(_) => "info,async_nats=warn",
        _ => "warn",
    };
    start(Some("worker"), |cli: &Cli| cli.global.log.clone().unwrap_or_else(|| level(cli).to_owned()), run)
}

/// Parses, runs, and says what went wrong. Without a subcommand, `default` is meant.
#[doc(hidden)]
pub fn start<T: CommandFactory + FromArgMatches>(
    default: Option<&str>,
    log: impl FnOnce(&T) -> String,
    run: impl AsyncFnOnce(T) -> anyhow::Result<()>,
) -> ExitCode {
    // Variables that are set already stay as they are.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        return failed(&UsageError(format!("the file .env can't be used: {}", unread(&error))).into());
    }
    let cli: T = match config::parse(std::env::args_os(), default) {
        Ok(Parsed::Run(cli)) => cli,
        Ok(Parsed::Show(text)) => return exit(output::print(&output::help(&text))),
        Err(error) => return failed(&error.into()),
    };
    if let Err(error) = telemetry::start(&log(&cli), || output::Log) {
        return failed(&error.into());
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = runtime.block_on(run(cli));
    signals::let_it_end();
    exit(outcome)
}

/// Why `.env` can't be read, without what is in it, which may be secret.
fn unread(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(..) => {
            "each line must be NAME=value, with quotes around a value that has spaces".into()
        }
        other => other.to_string(),
    }
}

async fn run(Cli { global, command }: Cli) -> anyhow::Result<()> {
    match command {
        Command::Worker(args) => worker::run(&global, args).await,
        Command::Pool(args) => pool::run(&global, args).await,
        Command::Status(args) => status::run(&global, args).await,
        Command::Verify(args) => verify::run(&global, args).await,
        Command::Append(args) => append::run(&global, &args).await,
        Command::Generate(args) => generate::run(&global, args).await,
        Command::Counters(args) => counters::run(&global, args).await,
        Command::Demo(args) => demo::run(&global, args).await,
        Command::Scale(args) => scale::run(&global, args).await,
        Command::Bench(args) => bench::run(&global, args).await,
        Command::Parked(args) => parked::run(&global, args).await,
        Command::Migrate => migrate::run(&global).await,
        Command::Index(args) => index::run(&global, args).await,
        Command::Rebuild(args) => rebuild::run(&global, args).await,
        Command::Repair(args) => repair::run(&global, args).await,
        Command::Db(args) => db::run(&global, &args).await,
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&global, args).await,
        #[cfg(feature = "cache")]
        Command::Cache(args) => cache::run(args).await,
    }
}

fn exit(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // Many messages have their cause in the middle of the sentence; the rest of the chain is told after it.
    let mut sentence = match error.downcast_ref() {
        Some(error) => told(error),
        None => error.to_string(),
    };
    // What the database said is in the message of whoever asked it; what is below adds a line of PostgreSQL's source.
    let causes = error.chain().take_while(|cause| !cause.is::<sqlx::Error>()).skip(1);
    for cause in causes.map(ToString::to_string) {
        if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    output::complain(&sentence);
    ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
}
