//! The command line, one file per subcommand: of the program `evenfold`, and of [programs](App) for projections of one's own.

#![expect(clippy::doc_markdown, reason = "clap shows the comments on arguments to people, as they are")]

#[cfg(any(feature = "cache", feature = "serve"))]
mod access;
mod app;
mod append;
#[doc(hidden)]
pub mod bench;
#[cfg(feature = "cache")]
mod cache;
mod commands;
pub mod config;
mod confirm;
mod counters;
mod db;
mod demo;
#[doc(hidden)]
pub mod done;
mod generate;
mod index;
mod manual;
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
mod projections;
mod rebuild;
mod registry;
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
#[doc(hidden)]
pub mod tuning;
mod uninstall;
mod verify;
mod worker;

pub use app::App;

use clap::{ArgMatches, Args};
use config::{Parsed, UsageError};
use evenfold::database::told;
use evenfold::schema::Schema;
use std::path::PathBuf;
use std::process::ExitCode;

/// What every command takes.
#[doc(hidden)]
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The database, as postgres://user:password@host:5432/database; without it, evenfold runs its own
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// The schema that evenfold's tables are in: 1 to 56 of a to z, 0 to 9 and _; not public
    #[arg(long, global = true, env = "EVENFOLD_SCHEMA", default_value = "evenfold", value_name = "NAME")]
    schema: Schema,
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

/// The program `evenfold`.
///
/// The exit code is 2 for what was asked wrongly, and 1 for what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    App::product().main()
}

/// Parses the arguments of this process, runs, and says what went wrong. Without a subcommand, `default` is meant.
#[doc(hidden)]
pub fn start<T>(
    command: clap::Command,
    default: Option<&str>,
    read: impl FnOnce(&ArgMatches) -> Result<T, UsageError>,
    log: impl FnOnce(&T) -> String,
    run: impl AsyncFnOnce(T, &ArgMatches) -> anyhow::Result<()>,
) -> ExitCode {
    // Variables that are set already stay as they are.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        return failed(&UsageError(format!("the file .env can't be used: {}", unread(&error))).into());
    }
    let matches = match config::parse(std::env::args_os(), command, default) {
        Ok(Parsed::Run(matches)) => matches,
        Ok(Parsed::Show(text)) => return exit(output::print(&text)),
        Err(error) => return failed(&error.into()),
    };
    let cli = match read(&matches) {
        Ok(cli) => cli,
        Err(error) => return failed(&error.into()),
    };
    if let Err(error) = telemetry::start(&log(&cli), || output::Log) {
        return failed(&error.into());
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = runtime.block_on(run(cli, &matches));
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

/// The README's Rust is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
