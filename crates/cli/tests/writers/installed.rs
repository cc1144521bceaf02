//! The writers' programs, and the libraries that they need.

use evenfold_testkit::scratch;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/writers/programs");

/// A program in JavaScript.
pub fn node(program: &str) -> Command {
    let directory = directory("node", include_str!("programs/package-lock.json"));
    run("node".into(), program, &directory)
}

/// A program in Python.
pub fn python(program: &str) -> Command {
    let directory = directory("python", include_str!("programs/requirements.txt"));
    run(directory.join("bin/python"), program, &directory)
}

fn run(interpreter: PathBuf, program: &str, directory: &Path) -> Command {
    let version = Command::new(&interpreter).arg("--version").stdout(Stdio::null()).status();
    assert!(version.is_ok_and(|status| status.success()), "{} does not run: {INSTALL}", interpreter.display());
    let mut command = Command::new(interpreter);
    command.arg(Path::new(PROGRAMS).join(program)).current_dir(directory);
    command
}

const INSTALL: &str = "`scripts/test --test writers` installs what these tests need, and runs them";

/// Where `scripts/lib/writers` has installed the packages of this list.
fn directory(language: &str, packages: &str) -> PathBuf {
    let directory = scratch().parent().expect("it is in the target directory").join("writers").join(language);
    let installed = std::fs::read_to_string(directory.join("installed"));
    assert!(
        installed.is_ok_and(|list| list == packages),
        "the writers' packages are not in {}: {INSTALL}",
        directory.display()
    );
    directory
}
