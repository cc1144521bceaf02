//! Lines of standard error as JSON, for what collects logs: whether they are, and those that are no log lines.

use super::control::json;
use clap::ValueEnum;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// What a line on standard error looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Whether this process writes JSON: one that has not read its arguments yet may have to complain about them.
static JSON: AtomicBool = AtomicBool::new(false);

/// Everything that is written to standard error from now on is in this format; also what the process panics with.
pub(crate) fn set(format: LogFormat) {
    let json = format == LogFormat::Json;
    JSON.store(json, Ordering::Relaxed);
    if json {
        std::panic::set_hook(Box::new(|panic| {
            use std::io::Write;
            let line = of(Level::ERROR, &panic.to_string());
            // Nobody is left to report to if that fails.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }));
    }
}

/// Whether standard error is JSON.
pub(crate) fn wanted() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// A line that is no log line, with the names that log lines have.
pub(crate) fn of(level: Level, message: &str) -> String {
    let mut timestamp = String::new();
    // A time before 1970 has no text; the line counts.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let line = serde_json::json!({
        "timestamp": timestamp,
        "level": level.as_str(),
        "message": message,
        "target": env!("CARGO_CRATE_NAME"),
    });
    // Texts alone: that can't fail.
    json(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_object_whatever_is_in_it() {
        let line = of(Level::ERROR, "no \"table\"\n\u{9b}31m \u{202e}");
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "ERROR");
        assert_eq!(value["message"], "no \"table\"\n\u{9b}31m \u{202e}");
        assert!(value["timestamp"].as_str().unwrap().ends_with('Z'), "{value}");
    }
}
