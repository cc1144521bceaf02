//! `projection`: files of projections in SQL.

mod check;
mod dry_run;
mod given;

use super::Global;
use super::files::DIRECTORY;
use super::output::print;
use crate::config::UsageError;
use anyhow::Context;
use check::CheckArgs;
use clap::{Args, Subcommand};
use dry_run::TryArgs;
use evenfold_sql::ProjectionFile;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What a new file has.
const TEMPLATE: &str = include_str!("projection.sql");

#[derive(Debug, Args)]
pub(super) struct ProjectionCommand {
    #[command(subcommand)]
    command: FileCommand,
}

#[derive(Debug, Subcommand)]
enum FileCommand {
    /// Write a file to start from, with comments: projections/NAME.sql
    New {
        /// The projection's name: 1 to 48 of a to z, 0 to 9 and _, not beginning with a digit
        #[arg(value_name = "NAME")]
        name: String,
        /// The directory that it is written to, which is made if it is not there
        #[arg(long = "projections", env = "EVENFOLD_PROJECTIONS", default_value = DIRECTORY, value_name = "DIR")]
        directory: PathBuf,
    },
    /// Fold a sample of the log in several ways, to find mistakes; changes nothing
    ///
    /// The sample is folded as one batch, in many small ones, one partition after the other, and once more: a right
    /// projection makes the same rows each time. The exit code is 1 unless all files are right.
    Check(CheckArgs),
    /// Fold events from standard input, one JSON object per line, and print the rows; changes nothing, needs no log
    Try(TryArgs),
}

impl ProjectionCommand {
    /// Whether it is about events of the log.
    pub(super) fn reads_the_log(&self) -> bool {
        matches!(self.command, FileCommand::Check(_))
    }
}

pub(super) async fn run(global: &Global, args: ProjectionCommand) -> anyhow::Result<()> {
    match args.command {
        FileCommand::New { name, directory } => new(&name, &directory),
        FileCommand::Check(args) => check::run(global, args).await,
        FileCommand::Try(args) => dry_run::run(global, args).await,
    }
}

fn new(name: &str, directory: &Path) -> anyhow::Result<()> {
    let path = directory.join(format!("{name}.sql"));
    let called = path.display().to_string();
    let text = TEMPLATE.replace("{name}", name);
    ProjectionFile::check_name(&path)
        .and_then(|name| Ok(ProjectionFile::parse(name, &called, &text)?))
        .map_err(|error| UsageError(error.to_string()))?;
    fs::create_dir_all(directory).with_context(|| format!("{} can't be made", directory.display()))?;
    let mut file = match File::create_new(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(UsageError(format!("{called} is there already: choose another name")).into());
        }
        created => created.with_context(|| format!("{called} can't be written"))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("{called} can't be written"))?;
    print(&format!("{called} is written; `evenfold pool` folds it with the counters\n"))
}
