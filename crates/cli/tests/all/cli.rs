//! What every command has in common: help, versions, and one sentence where something is wrong.

use crate::support::cli::run;

const COMMANDS: [&str; 19] = [
    "",
    "worker",
    "append",
    "generate",
    "counters",
    "demo",
    "bench",
    "bench catch-up",
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
            let output = run(&args);
            let help = output.fine();
            assert_eq!(output.err, "");
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
    for about in
        ["Apply the events of one partition to the counters (the default)", "Apply the events of several partitions"]
    {
        assert!(top.contains(about), "{about}: {top}");
    }
    let worker = run(&["worker", "--help"]).out;
    for (flag, variable) in crate::cli_settings::SETTINGS.map(|(flag, variable, ..)| (flag, variable)) {
        assert!(worker.contains(&format!("{flag} <")) && worker.contains(variable), "{flag} {variable}: {worker}");
    }
}

#[test]
fn the_version_is_on_standard_output() {
    for flag in ["--version", "-V"] {
        let output = run(&[flag]);
        assert_eq!(output.fine(), concat!("evenfold ", env!("CARGO_PKG_VERSION"), "\n"));
        assert_eq!(output.err, "");
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
