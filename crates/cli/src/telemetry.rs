//! Logging: what is logged, and what a line looks like.

use crate::config::UsageError;
use std::io::IsTerminal;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging by a filter such as `info`, `debug` or `evenfold=debug,warn`: a line at a time, to a writer that
/// leads to standard error, so that standard output is for results.
///
/// # Errors
///
/// A filter that can't be read, or a second start.
pub(crate) fn start<W>(filter: &str, writer: W) -> Result<(), UsageError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // To the parser a word alone is a module to log all of, and a mistyped level would silence everything else.
    let directives = || filter.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let typo = directives().find(|directive| !directive.contains('=') && directive.parse::<LevelFilter>().is_err());
    let wrong = |problem: String| UsageError(format!("the log filter {filter:?} (--log, RUST_LOG): {problem}"));
    if let Some(word) = typo {
        let levels = "off, error, warn, info, debug, trace";
        return Err(wrong(format!("{word} is not a level; these are {levels}; of one module it is {word}=debug")));
    }
    let targets: Targets =
        filter.parse().map_err(|error: tracing_subscriber::filter::ParseError| wrong(error.to_string()))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours).with_target(false);
    tracing_subscriber::registry().with(targets).with(layer).try_init().map_err(|error| wrong(error.to_string()))
}
