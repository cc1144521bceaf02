//! What shells and `man` want to know about the command line.

use super::output::print;
use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use std::fs;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The directory that the pages are written to; made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Prints a script that a shell reads when it starts.
pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> anyhow::Result<()> {
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    print(&String::from_utf8(script)?)
}

/// Writes a page for the program, and one for each command.
pub(super) fn man(args: &ManArgs, command: Command) -> anyhow::Result<()> {
    let ManArgs { directory } = args;
    let failed = || format!("can't write to {}: correct the directory", directory.display());
    fs::create_dir_all(directory).with_context(failed)?;
    clap_mangen::generate_to(command, directory).with_context(failed)?;
    print(&format!("the pages are in {}\n", directory.display()))
}
