//! What a program shows and measures of a projection of its own: on a copy of the log, in a database of its own that is
//! removed afterwards, since nobody knows what a projection writes, and its read model is not to be touched.

mod catch_up;
mod copy;
mod scale;
mod scratch;

use super::Global;
use super::projections::Projections;
use clap::{Args, Subcommand};

/// The commands that a program with projections of its own has in place of those of `evenfold` with the same names.
#[derive(Debug, Subcommand)]
pub(crate) enum ReplayCommand {
    /// Change the number of partitions while the log is replayed, and show what it costs and that nothing is lost
    ///
    /// The log is replayed into a database of its own, which is removed afterwards. What the projection does outside of
    /// its database, such as sending a mail, it does again.
    Scale(scale::ReplayScaleArgs),
    /// Measure how fast a projection is here, against what the database can do at best
    Bench(ReplayBenchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ReplayBenchArgs {
    #[command(subcommand)]
    benchmark: ReplayBenchmark,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReplayBenchmark {
    /// Apply a copy of the log: against reading it
    ///
    /// The copy is in a database of its own, which is removed afterwards: the user needs the right CREATEDB. Each
    /// figure is a ratio to a yardstick that is measured in the same run. What the projection does outside of its
    /// database, such as sending a mail, it does again.
    CatchUp(catch_up::ReplayCatchUpArgs),
}

pub(crate) async fn run(global: &Global, command: ReplayCommand, known: &Projections<'_>) -> anyhow::Result<()> {
    global.source.refuse_for("this command")?;
    match command {
        ReplayCommand::Scale(args) => Box::pin(scale::run(global, args, known)).await,
        ReplayCommand::Bench(ReplayBenchArgs { benchmark: ReplayBenchmark::CatchUp(args) }) => {
            catch_up::run(global, args, known).await
        }
    }
}
