//! The writers' programs, and the libraries that they need.

use evenfold_testkit::scratch;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/writers/programs");

/// A program in JavaScript.
pub fn node(program: &str) -> Command {
    let directory = directory("node", include_str!("programs/package-lock.json"));
    interpreted("node".into(), program, &directory)
}

/// A program in Python.
pub fn python(program: &str) -> Command {
    let directory = directory("python", include_str!("programs/requirements.txt"));
    interpreted(directory.join("bin/python"), program, &directory)
}

/// A program in Rust.
pub fn rust(program: &str) -> Command {
    let built = concat!(
        include_str!("programs/rust/Cargo.lock"),
        include_str!("programs/rust/Cargo.toml"),
        include_str!("programs/rust/src/bin/disintegrate.rs"),
        include_str!("programs/rust/src/bin/postgres_es.rs"),
        include_str!("programs/rust/src/lib.rs"),
        include_str!("programs/rust/src/disintegrate.sql"),
        include_str!("programs/rust/src/positions.sql"),
    );
    Command::new(directory("rust", built).join("debug").join(program))
}

fn interpreted(interpreter: PathBuf, program: &str, directory: &Path) -> Command {
    let version = Command::new(&interpreter).arg("--version").stdout(Stdio::null()).status();
    assert!(version.is_ok_and(|status| status.success()), "{} does not run: {INSTALL}", interpreter.display());
    let mut command = Command::new(interpreter);
    command.arg(Path::new(PROGRAMS).join(program)).current_dir(directory);
    command
}

const INSTALL: &str = "`scripts/test --test writers` installs what these tests need, and runs them";

/// Where `scripts/lib/writers` has installed the packages of this list, or built these sources.
fn directory(language: &str, list: &str) -> PathBuf {
    let directory = scratch().parent().expect("it is in the target directory").join("writers").join(language);
    let installed = std::fs::read_to_string(directory.join("installed"));
    assert!(
        installed.is_ok_and(|installed| installed == list),
        "the writers' packages are not in {}, or are others: {INSTALL}",
        directory.display()
    );
    directory
}
