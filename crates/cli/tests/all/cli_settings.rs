//! Settings: each has a flag, a variable and a name in the file, and flags beat variables, which beat `.env`, which
//! beats the file, which beats the defaults.

use crate::support::Evenfold;
use crate::support::cli::{CliOutput, finish};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// Flag, variable, a value that is refused, and how the sentence shows that it was read.
pub const SETTINGS: [(&str, &str, &str, &str); 16] = [
    ("--database-url", "DATABASE_URL", "nowhere", "the database URL"),
    ("--schema", "EVENFOLD_SCHEMA", "public", "a schema for evenfold must have a name"),
    ("--data-dir", "EVENFOLD_DATA_DIR", "/dev/null/pg", "the data directory /dev/null/pg"),
    ("--pg-bin", "EVENFOLD_PG_BIN", "/dev/null/bin", "no usable PostgreSQL binaries in /dev/null/bin"),
    ("--log", "RUST_LOG", "loud", "the log filter"),
    ("--log-format", "EVENFOLD_LOG_FORMAT", "xml", "'--log-format <FORMAT>'"),
    ("--partition-key", "PARTITION_KEY", "4", "and 4 is not among them"),
    ("--total-partitions", "TOTAL_PARTITIONS", "0", "'--total-partitions <N>'"),
    ("--amount-pointer", "EVENFOLD_AMOUNT_POINTER", "amount", "'--amount-pointer <POINTER>'"),
    ("--batch-size", "EVENFOLD_BATCH_SIZE", "0", "'--batch-size <EVENTS>'"),
    ("--max-actors", "EVENFOLD_MAX_ACTORS", "39999", "39999 is below 40000"),
    ("--poll-interval-ms", "EVENFOLD_POLL_INTERVAL_MS", "0", "'--poll-interval-ms <MS>'"),
    ("--database-timeout-ms", "EVENFOLD_DATABASE_TIMEOUT_MS", "0", "'--database-timeout-ms <MS>'"),
    ("--heartbeat-interval-ms", "EVENFOLD_HEARTBEAT_INTERVAL_MS", "0", "'--heartbeat-interval-ms <MS>'"),
    ("--takeover-after-ms", "EVENFOLD_TAKEOVER_AFTER_MS", "0", "'--takeover-after-ms <MS>'"),
    ("--synchronous-commit", "EVENFOLD_SYNCHRONOUS_COMMIT", "local", "'--synchronous-commit <BOOL>'"),
];

/// A working directory with a `.env` and an `evenfold.toml`.
struct Directory(TempDir);

impl Directory {
    fn with(dotenv: &str, toml: &str) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(directory.path().join(".env"), dotenv).unwrap();
        fs::write(directory.path().join("evenfold.toml"), toml).unwrap();
        Self(directory)
    }

    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> CliOutput {
        let mut command = Evenfold::command(args);
        command.current_dir(&self.0).envs(variables.iter().copied());
        finish(command)
    }
}

#[test]
fn every_setting_is_read_from_its_flag_its_variable_dotenv_and_the_file() {
    for (flag, variable, value, phrase) in SETTINGS {
        println!("{flag}");
        let file = format!("{} = '{value}'\n", flag.trim_start_matches("--").replace('-', "_"));
        let dotenv = format!("{variable}={value}\n");
        let key: &[&str] = if flag == "--partition-key" { &[] } else { &["--partition-key=0"] };
        let code = if flag == "--data-dir" || flag == "--pg-bin" { 1 } else { 2 };

        // Nobody is there: a value that was not read is not waited for.
        let nowhere = [("DATABASE_URL", "postgres://user@127.0.0.1:1/x")];
        let database = if code == 1 || variable == "DATABASE_URL" { &[][..] } else { &nowhere };
        let nothing = Directory::with("", "");
        nothing.run(&[key, &[flag, value]].concat(), database).complains(code, phrase);
        nothing.run(key, &[database, &[(variable, value)]].concat()).complains(code, phrase);
        // A machine may say where the binaries are, which beats `.env` and the file.
        if std::env::var_os(variable).is_none() {
            Directory::with(&dotenv, "").run(key, database).complains(code, phrase);
            Directory::with("", &file).run(key, database).complains(code, phrase);
        }
    }
}

#[test]
fn flags_beat_variables_which_beat_dotenv_which_beats_the_file_which_beats_the_default() {
    // The sentence about a key that is too large shows how many partitions there are.
    let dotenv = "PARTITION_KEY=99\nTOTAL_PARTITIONS=6\n";
    let file = "partition_key = 98\ntotal_partitions = 5\n";
    let variables = [("TOTAL_PARTITIONS", "7"), ("PARTITION_KEY", "100")];
    let flags = ["--total-partitions=8", "--partition-key=101"];
    let refused = |directory: &Directory, variables: &[(&str, &str)], flags: &[&str], phrase| {
        directory.run(flags, variables).complains(2, phrase);
    };
    refused(&Directory::with("", "partition_key = 98"), &[], &[], "of 4 partitions the keys are 0 to 3, and 98");
    refused(&Directory::with("", file), &[], &[], "of 5 partitions the keys are 0 to 4, and 98");
    let both = Directory::with(dotenv, file);
    refused(&both, &[], &[], "of 6 partitions the keys are 0 to 5, and 99");
    refused(&both, &variables, &[], "of 7 partitions the keys are 0 to 6, and 100");
    refused(&both, &variables, &flags, "of 8 partitions the keys are 0 to 7, and 101");
    refused(&both, &[], &flags, "of 8 partitions the keys are 0 to 7, and 101");
}

#[test]
fn another_settings_file_is_read_when_it_is_named() {
    let directory = Directory::with("", "partition_key = 90");
    for (name, key) in [("one.toml", 91), ("two.toml", 92)] {
        fs::write(directory.0.path().join(name), format!("partition_key = {key}")).unwrap();
    }
    let by_variable = [("EVENFOLD_CONFIG", "one.toml")];
    directory.run(&[], &[]).complains(2, "and 90 is not among them");
    directory.run(&[], &by_variable).complains(2, "and 91 is not among them");
    directory.run(&["--config", "two.toml"], &by_variable).complains(2, "and 92 is not among them");
    directory.run(&["--config=two.toml"], &by_variable).complains(2, "and 92 is not among them");
    directory.run(&["worker", "--config=two.toml"], &[]).complains(2, "and 92 is not among them");
}

#[test]
fn a_dotenv_above_the_working_directory_is_found() {
    let directory = Directory::with("PARTITION_KEY=77", "");
    let below = directory.0.path().join("a/b");
    fs::create_dir_all(&below).unwrap();
    let mut command = Evenfold::command(&[]);
    command.current_dir(below);
    finish(command).complains(2, "and 77 is not among them");
}

#[test]
fn settings_of_the_worker_do_not_change_other_commands_of_the_same_name() {
    // More than one append may have.
    let directory = Directory::with("DATABASE_URL=postgres://nobody@127.0.0.1:1/x", "batch_size = 500000");
    for command in [&["append"][..], &["generate", "--yes"], &["counters"], &["migrate"]] {
        directory.run(command, &[("EVENFOLD_BATCH_SIZE", "30000")]).complains(1, "no PostgreSQL answers");
    }
}

#[test]
fn the_data_directory_decides_which_database_is_meant() {
    let directory = Directory::with("", "data_dir = 'from-the-file'");
    let url = |args: &[&str], variables: &[(&str, &str)]| {
        let output = directory.run(&[&["db", "url"], args].concat(), variables);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.err.contains("the server is not running: start it with `evenfold db start`"), "{output:?}");
        output.out
    };
    let by_variable = [("EVENFOLD_DATA_DIR", "from-the-variable")];
    let urls = [url(&[], &[]), url(&[], &by_variable), url(&["--data-dir=from-the-flag"], &by_variable)];
    for (url, name) in urls.iter().zip(["from-the-file", "from-the-variable", "from-the-flag"]) {
        let options = evenfold_embedded::Options::new(directory.0.path().join(name));
        assert_eq!(url.trim_end(), evenfold_embedded::status(&options).unwrap().url);
        assert!(!directory.0.path().join(name).exists(), "asking for the URL makes nothing");
    }
}
