//! What a program is asked to run.

use super::Global;
use super::commands::{self, Cli};
use super::replay::ReplayCommand;

/// What is to be run.
pub(super) enum Asked {
    Command(Box<Cli>),
    Replay(Box<(Global, ReplayCommand)>),
}

impl Asked {
    /// Which log lines are written.
    pub(super) fn log(&self) -> String {
        let (global, default) = match self {
            Self::Command(cli) => (&cli.global, commands::log(&cli.command)),
            Self::Replay(asked) => (&asked.0, "warn"),
        };
        global.log.clone().unwrap_or_else(|| default.to_owned())
    }
}
