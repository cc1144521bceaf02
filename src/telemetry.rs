//! Logging: to standard error, so that standard output is for results.

use crate::config::UsageError;
use std::io::IsTerminal;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging by a filter such as `info`, `debug` or `evenfold=debug,warn`.
///
/// # Errors
///
/// A filter that can't be read, or a second start.
pub fn start(filter: &str) -> Result<(), UsageError> {
    let wrong = |problem: String| UsageError(format!("the log filter {filter:?} (--log, RUST_LOG): {problem}"));
    let targets: Targets =
        filter.parse().map_err(|error: tracing_subscriber::filter::ParseError| wrong(error.to_string()))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
    tracing_subscriber::registry().with(targets).with(layer).try_init().map_err(|error| wrong(error.to_string()))
}
