//! Commands of the program that are run to their end, and what they print.

use crate::{Evenfold, TestDb};
use evenfold_embedded::{self as embedded, Options};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

/// How a process ended, and what it printed.
#[derive(Debug)]
pub struct CliOutput {
    pub code: i32,
    pub out: String,
    pub err: String,
    /// Whose complaints begin with its name.
    pub program: String,
}

impl From<Output> for CliOutput {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text in UTF-8");
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
            program: "evenfold".to_owned(),
        }
    }
}

impl CliOutput {
    /// The same of a program that has another name.
    #[must_use]
    pub fn of(self, program: &str) -> Self {
        Self { program: program.to_owned(), ..self }
    }

    fn complaint(&self) -> String {
        format!("{}: ", self.program)
    }

    /// Fails unless the process ended well, without a complaint; gives what it printed.
    pub fn fine(&self) -> &str {
        assert_eq!(self.code, 0, "{self:#?}");
        assert!(!self.err.contains(&self.complaint()), "{self:#?}");
        &self.out
    }

    /// Fails unless the process ended with this code and one sentence, which holds the phrase. Only log lines and the
    /// ones that name the database and the log may come before the sentence, and only where something had begun.
    pub fn complains(&self, code: i32, phrase: &str) {
        assert_eq!(self.code, code, "{self:#?}");
        assert_eq!(self.out, "", "{self:#?}");
        let (sentence, before) = self.err.lines().collect::<Vec<_>>().split_last().map_or_else(
            || panic!("nothing was printed: {self:#?}"),
            |(last, before)| ((*last).to_owned(), before.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()),
        );
        assert!(sentence.starts_with(&self.complaint()) && sentence.contains(phrase), "no {phrase:?}: {self:#?}");
        assert!(code == 1 || before.is_empty(), "{self:#?}");
        let known = |line: &String| {
            let begins = ["database: ", "log: "].iter().any(|name| line.starts_with(name));
            begins || line.contains(" INFO ") || line.contains(" WARN ")
        };
        assert!(before.iter().all(known), "{self:#?}");
        // "at line": of PostgreSQL's own source.
        for noise in ["panicked", "backtrace", "Error {", "Err(", "at line "] {
            assert!(!self.err.contains(noise), "{self:#?}");
        }
        let parts: Vec<&str> = sentence.split(": ").filter(|part| part.len() > 20).collect();
        let twice = parts.iter().enumerate().find(|(n, part)| parts[..*n].contains(part));
        assert!(twice.is_none(), "printed twice: {self:#?}");
    }
}

/// Runs to the end without input.
pub fn run(args: &[&str]) -> CliOutput {
    Evenfold::run(args, "").into()
}

/// Runs a command of a test's to the end. Backtraces are asked for: none may come.
pub fn finish(mut command: Command) -> CliOutput {
    command.env("RUST_BACKTRACE", "1");
    Evenfold::finish(command, b"").into()
}

/// Runs against a test's database.
pub fn run_at(db: &TestDb, args: &[&str]) -> CliOutput {
    feed(db, args, "")
}

/// Runs against a test's database, with this input.
pub fn feed(db: &TestDb, args: &[&str], input: impl AsRef<[u8]>) -> CliOutput {
    let mut command = Evenfold::command(args);
    command.env("DATABASE_URL", &db.url).env("RUST_BACKTRACE", "1");
    Evenfold::finish(command, input.as_ref()).into()
}

/// Lets the only worker of the database apply everything.
pub fn apply_all(db: &TestDb) -> CliOutput {
    run_at(db, &["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up"])
}

/// A directory for an embedded database, whose server is stopped at the end of the test.
pub struct DataDir {
    pub root: TempDir,
}

impl Default for DataDir {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDir {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("cli").tempdir_in(crate::scratch()).unwrap();
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
        Options::new(self.path()).durable(false)
    }

    pub fn run(&self, args: &[&str]) -> CliOutput {
        let mut command = Evenfold::command(args);
        command.env("EVENFOLD_DATA_DIR", self.path());
        finish(command)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        for dir in [self.path(), self.demonstrations().into()] {
            let _ = embedded::shut_down(&Options::new(dir).durable(false));
        }
    }
}
