//! Logging, and what is exported besides: what is logged, and what a line looks like.

use super::json_lines::LogFormat;
#[cfg(feature = "otel")]
use super::otel::{self, Exporters};
use crate::config::UsageError;
use evenfold::LinkTo;
use evenfold::projection::Process;
use std::io::IsTerminal;
use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt, FilterFn, LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Logging {
    /// Such as `info`, `debug` or `evenfold=debug,warn`.
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
    /// Whether traces and metrics are exported, where that is configured: what ends in a moment has none.
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "nothing is exported without the feature"))]
    pub(crate) exports: bool,
}

impl Logging {
    /// The same of a process that goes on, whose traces and metrics are exported.
    pub(crate) fn exporting(self, exports: bool) -> Self {
        Self { exports, ..self }
    }
}

/// What is to be ended with the process.
#[must_use]
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    exporters: Option<Exporters>,
}

impl Telemetry {
    /// Exports what is left, within 5 seconds.
    #[cfg_attr(not(feature = "otel"), expect(clippy::unused_self, reason = "nothing is exported without the feature"))]
    pub(crate) fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(exporters) = self.exporters {
            exporters.end();
        }
    }
}

/// How the spans of batches are linked to what has caused their events; none where spans are not exported.
pub(crate) fn links() -> Option<LinkTo> {
    #[cfg(feature = "otel")]
    if otel::traces() {
        return Some(otel::link);
    }
    None
}

/// Exports what the workers of this process do, where metrics are exported.
pub(crate) fn observe(process: &Process) {
    #[cfg(feature = "otel")]
    otel::observe(process);
    #[cfg(not(feature = "otel"))]
    let _ = process;
}

/// Starts logging: a line at a time, to a writer that leads to standard error, so that standard output is for results.
///
/// # Errors
///
/// A filter that can't be read, variables of OpenTelemetry that can't be followed, or a second start.
pub(crate) fn start<W>(logging: &Logging, writer: W) -> Result<Telemetry, UsageError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = lines(logging, writer)?;
    #[cfg(feature = "otel")]
    let exporters = if logging.exports { Exporters::start()? } else { None };
    let layers = vec![lines];
    #[cfg(feature = "otel")]
    let layers: Vec<_> = layers.into_iter().chain(exporters.as_ref().and_then(Exporters::layer)).collect();
    #[cfg(all(feature = "otel", any(feature = "cache", feature = "serve")))]
    if otel::traces() {
        evenfold_http::trace_requests(otel::continue_trace);
    }
    let started = tracing_subscriber::registry().with(layers).try_init();
    started.map_err(|error| UsageError(error.to_string()))?;
    Ok(Telemetry {
        #[cfg(feature = "otel")]
        exporters,
    })
}

/// What writes lines.
fn lines<W>(
    Logging { filter, format, .. }: &Logging,
    writer: W,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, UsageError>
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
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match format {
        // Of spans the lines of text have nothing: where it matters, their fields are the line's as well.
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            // What is only asked for, by `enabled!`, is no event and no span.
            let events = FilterFn::new(|of: &Metadata<'_>| !of.is_span()).with_max_level_hint(LevelFilter::TRACE);
            layer.with_ansi(colours).with_target(false).with_filter(targets.and(events)).boxed()
        }
        LogFormat::Json => {
            let json = layer.json().flatten_event(true).with_current_span(false).with_span_list(true);
            json.with_filter(targets).boxed()
        }
    })
}
