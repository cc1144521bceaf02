//! From the arguments of a process to its exit code.

use super::config::{self, Parsed, UsageError};
use super::json_lines::{self, LogFormat};
use super::telemetry::{self, Logging};
use super::{output, signals};
use clap::ArgMatches;
use evenfold::database::describe;
use std::ffi::OsString;
use std::process::ExitCode;

/// Reads `.env`. Before the command line is made, which takes the variables as they are then; those that are set
/// already stay as they are.
pub fn read_dotenv() -> Result<(), ExitCode> {
    let read = dotenvy::dotenv();
    foresee_format(&std::env::args_os().collect::<Vec<_>>());
    match read {
        Err(error) if !error.not_found() => {
            Err(failed(&UsageError(format!("the file .env can't be used: {}", unread(&error))).into()))
        }
        _ => Ok(()),
    }
}

/// Parses the arguments of this process, runs, and says what went wrong. Without a subcommand, `default` is meant.
pub fn start<T>(
    command: clap::Command,
    default: Option<&str>,
    read: impl FnOnce(&ArgMatches) -> Result<T, UsageError>,
    log: impl FnOnce(&T) -> Logging,
    run: impl AsyncFnOnce(T, &ArgMatches) -> anyhow::Result<()>,
) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    foresee_format(&arguments);
    let matches = match config::parse(arguments, command, default) {
        Ok(Parsed::Run(matches)) => matches,
        Ok(Parsed::Show(text)) => return exit(output::print(&text)),
        Err(error) => return failed(&error.into()),
    };
    let cli = match read(&matches) {
        Ok(cli) => cli,
        Err(error) => return failed(&error.into()),
    };
    let logging = log(&cli);
    json_lines::set(logging.format);
    let telemetry = match telemetry::start(&logging, || output::Log) {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error.into()),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = runtime.block_on(run(cli, &matches));
    telemetry.end();
    signals::let_it_end();
    exit(outcome)
}

/// What the arguments seem to say about the format, for what is wrong with the arguments themselves.
fn foresee_format(arguments: &[OsString]) {
    let format = config::given(arguments, "--log-format", "EVENFOLD_LOG_FORMAT");
    if format.is_some_and(|format| format == "json") {
        json_lines::set(LogFormat::Json);
    }
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

pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    output::complain(&in_words(error));
    ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
}

/// An error as one sentence.
pub(crate) fn in_words(error: &anyhow::Error) -> String {
    // Many messages have their cause in the middle of the sentence; the rest of the chain is printed after it.
    let mut sentence = match error.downcast_ref() {
        Some(error) => describe(error),
        None => error.to_string(),
    };
    // What the database reports is in the message of whoever asked it; what is below adds a line of PostgreSQL's
    // source.
    let causes = error.chain().take_while(|cause| !cause.is::<sqlx::Error>()).skip(1);
    for cause in causes.map(ToString::to_string) {
        if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}
