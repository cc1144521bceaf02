//! What every command has in common: help, versions, and one sentence where something is wrong.

use crate::support::{Evenfold, TestDb};
use evenfold::embedded::{self, Options};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text in UTF-8");
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// Fails unless the process ended well, without a complaint; gives what it printed.
    pub fn fine(&self) -> &str {
        assert_eq!(self.code, 0, "{self:#?}");
        assert!(!self.err.contains("evenfold: "), "{self:#?}");
        &self.out
    }

    /// Fails unless the process ended with this code and one sentence, which holds the phrase. Only log lines and the
    /// one that names the database may come before the sentence, and only where something had begun.
    pub fn complains(&self, code: i32, phrase: &str) {
        assert_eq!(self.code, code, "{self:#?}");
        assert_eq!(self.out, "", "{self:#?}");
        let (sentence, before) = self.err.lines().collect::<Vec<_>>().split_last().map_or_else(
            || panic!("nothing was said: {self:#?}"),
            |(last, before)| ((*last).to_owned(), before.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()),
        );
        assert!(sentence.starts_with("evenfold: ") && sentence.contains(phrase), "no {phrase:?}: {self:#?}");
        assert!(code == 1 || before.is_empty(), "{self:#?}");
        let known =
            |line: &String| line.contains(" INFO ") || line.contains(" WARN ") || line.starts_with("database: ");
        assert!(before.iter().all(known), "{self:#?}");
        // "at line": of PostgreSQL's own source.
        for noise in ["panicked", "backtrace", "Error {", "Err(", "at line "] {
            assert!(!self.err.contains(noise), "{self:#?}");
        }
        let parts: Vec<&str> = sentence.split(": ").filter(|part| part.len() > 20).collect();
        let twice = parts.iter().enumerate().find(|(n, part)| parts[..*n].contains(part));
        assert!(twice.is_none(), "said twice: {self:#?}");
    }
}

/// Runs to the end without input.
pub fn run(args: &[&str]) -> Said {
    Evenfold::run(args, "").into()
}

/// Runs a command of a test's to the end. Backtraces are asked for: none may come.
pub fn finish(mut command: Command) -> Said {
    command.env("RUST_BACKTRACE", "1");
    Evenfold::finish(command, b"").into()
}

/// Runs against a test's database.
pub fn run_at(db: &TestDb, args: &[&str]) -> Said {
    feed(db, args, "")
}

/// Runs against a test's database, with this input.
pub fn feed(db: &TestDb, args: &[&str], input: impl AsRef<[u8]>) -> Said {
    let mut command = Evenfold::command(args);
    command.env("DATABASE_URL", &db.url).env("RUST_BACKTRACE", "1");
    Evenfold::finish(command, input.as_ref()).into()
}

/// Lets the only worker of the database apply everything.
pub fn apply_all(db: &TestDb) -> Said {
    run_at(db, &["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up"])
}

/// A directory for an embedded database, whose server is stopped at the end of the test.
pub struct DataDir {
    pub root: TempDir,
}

impl DataDir {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("cli").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // Open to the user whom root runs the server as.
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        Self { root }
    }

    pub fn path(&self) -> PathBuf {
        self.root.path().join("pg")
    }

    /// Where the demonstrations have their data.
    pub fn demonstrations(&self) -> String {
        format!("{}-demo", self.path().display())
    }

    pub fn options(&self) -> Options {
        Options { durable: false, ..Options::new(self.path()) }
    }

    pub fn run(&self, args: &[&str]) -> Said {
        let mut command = Evenfold::command(args);
        command.env("EVENFOLD_DATA_DIR", self.path());
        finish(command)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        for dir in [self.path(), self.demonstrations().into()] {
            let _ = embedded::shut_down(&Options { durable: false, ..Options::new(dir) });
        }
    }
}

const COMMANDS: [&str; 22] = [
    "",
    "worker",
    "append",
    "generate",
    "counters",
    "demo",
    "bench",
    "bench catch-up",
    "bench latency",
    "bench append",
    "bench fan-out",
    "parked",
    "parked list",
    "parked retry",
    "parked drop",
    "migrate",
    "repair",
    "db",
    "db start",
    "db reset",
    "serve",
    "cache",
];

#[test]
fn every_help_is_on_standard_output_and_fits_into_eighty_columns() {
    for words in COMMANDS {
        for flag in ["--help", "-h"] {
            let args: Vec<&str> = words.split_whitespace().chain([flag]).collect();
            let said = run(&args);
            let help = said.fine();
            assert_eq!(said.err, "");
            assert!(help.contains("Usage: evenfold"), "{help}");
            let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{args:?}: {wide:#?}");
        }
    }
}

#[test]
fn the_help_names_every_command_and_the_worker_all_its_settings() {
    let top = run(&["--help"]).out;
    for command in ["worker", "append", "generate", "counters", "demo", "bench", "parked", "migrate", "repair", "db"] {
        assert!(top.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}: {top}");
    }
    let worker = run(&["worker", "--help"]).out;
    for (flag, variable) in crate::cli_settings::SETTINGS.map(|(flag, variable, ..)| (flag, variable)) {
        assert!(worker.contains(&format!("{flag} <")) && worker.contains(variable), "{flag} {variable}: {worker}");
    }
}

#[test]
fn the_version_is_on_standard_output() {
    for flag in ["--version", "-V"] {
        let said = run(&[flag]);
        assert_eq!(said.fine(), concat!("evenfold ", env!("CARGO_PKG_VERSION"), "\n"));
        assert_eq!(said.err, "");
    }
}

#[test]
fn without_a_command_it_is_the_worker() {
    assert_eq!(run(&["--partition-key", "0", "-h"]).fine(), run(&["worker", "-h"]).fine());
    let alone = run(&[]);
    alone.complains(2, "which partition? give --partition-key");
    for way_on in ["`evenfold demo` shows all of it", "`evenfold --help`"] {
        assert!(alone.err.contains(way_on), "{alone:?}");
    }
}
