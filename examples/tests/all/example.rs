//! Examples as processes.

use evenfold_testkit::cli::CliOutput;
use evenfold_testkit::{Evenfold, TestDb};
use std::path::Path;
use std::process::Command;

/// An example of this package, which cargo has built for the tests.
pub(crate) fn example(name: &str, args: &[&str]) -> Command {
    // A test binary is in `target/debug/deps`.
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).map(|profile| profile.join("examples").join(name)).unwrap();
    assert!(Path::new(&program).exists(), "{} is not built: run all tests of this package", program.display());
    Evenfold::command_of(program, args)
}

/// Runs an example against a test's database to its end.
pub(crate) fn run_at(db: &TestDb, name: &str, args: &[&str], input: &str) -> CliOutput {
    let mut command = example(name, args);
    command.env("DATABASE_URL", &db.url);
    CliOutput::from(Evenfold::finish(command, input.as_bytes())).of(name)
}
