//! `source`: logs that others write.

mod check;
mod open;

pub(crate) use open::open;

use super::Global;
use check::SourceCheckArgs;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(super) struct SourceCommand {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Find tables of events, and what is against folding each; changes nothing
    ///
    /// With --source, that log only. The exit code is 0 if one can be folded at least.
    Check(SourceCheckArgs),
}

pub(super) async fn run(global: &Global, args: SourceCommand) -> anyhow::Result<()> {
    match args.command {
        LogCommand::Check(args) => check::run(global, &args).await,
    }
}
