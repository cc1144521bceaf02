//! `source`: logs that others write.

mod accept;
mod add_xid;
mod check;
mod logs;
mod open;

pub(crate) use logs::Logs;
pub(crate) use open::open;

use super::Global;
use super::projections::Projections;
use accept::SourceAcceptArgs;
use add_xid::SourceAddXidArgs;
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
    /// Take the server that a log is on now for the one that it was on before
    ///
    /// After a failover that has lost no commit, or a move of the whole cluster. Where commits were lost, positions may
    /// have been given again to other events: rebuild then.
    Accept(SourceAcceptArgs),
    /// Add a column for the transaction to a log whose positions are drawn by earlier transactions
    ///
    /// Shows the statements, asks, and executes them in the log's database, by a role that owns the table. The table is
    /// not written anew. Then set positions = "xid" in [source.custom], or Marten's append_mode = "rich".
    AddXid(SourceAddXidArgs),
}

pub(super) async fn run(global: &Global, args: SourceCommand, known: &Projections<'_>) -> anyhow::Result<()> {
    match args.command {
        LogCommand::Check(args) => check::run(global, &args).await,
        LogCommand::AddXid(args) => add_xid::run(global, &args).await,
        LogCommand::Accept(args) => accept::run(global, &args, known).await,
    }
}
