//! What a program is asked to run.

use super::Global;
use super::commands::{self, Cli};
use super::replay::ReplayCommand;
use super::telemetry::Logging;

/// What is to be run.
pub(super) enum Asked {
    Command(Box<Cli>),
    Replay(Box<(Global, ReplayCommand)>),
}

impl Asked {
    /// Which log lines are written, and how.
    pub(super) fn log(&self) -> Logging {
        match self {
            Self::Command(cli) => {
                cli.global.logging(commands::log(&cli.command)).exporting(commands::exports(&cli.command))
            }
            Self::Replay(asked) => asked.0.logging("warn"),
        }
    }
}
