//! The README says what the binary does.

use crate::support::Evenfold;
use std::collections::BTreeSet;

const README: &str = include_str!("../../../../README.md");
const COMMANDS: [&str; 27] = [
    "worker",
    "pool",
    "status",
    "verify",
    "scale",
    "rebuild",
    "append",
    "generate",
    "counters",
    "demo",
    "bench catch-up",
    "bench latency",
    "bench append",
    "bench fan-out",
    "bench groups",
    "bench cache",
    "bench counter",
    "parked list",
    "parked retry",
    "parked drop",
    "migrate",
    "index",
    "repair",
    "db",
    "db reset",
    "serve",
    "cache",
];

fn help(args: &[&str]) -> String {
    let output = Evenfold::run(&[args, &["--help"]].concat(), "");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Without the line breaks of a narrow terminal.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Words of a text that start like this, without what follows their name.
fn words<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(|c: char| c.is_whitespace() || "[]`<>(),=|".contains(c)).filter(move |word| word.starts_with(prefix))
}

#[test]
fn every_flag_and_variable_is_in_the_table_and_no_others() {
    let mut known = BTreeSet::new();
    for command in COMMANDS {
        let text = help(&command.split(' ').collect::<Vec<_>>());
        known.extend(words(&text, "--").map(str::to_owned));
        known.extend(text.split("[env: ").skip(1).map(|rest| rest.split([']', '=']).next().unwrap().to_owned()));
    }
    let table: BTreeSet<String> = README
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .flat_map(|line| line.split('|').skip(1).take(2))
        .filter_map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    let undocumented: Vec<_> =
        known.iter().filter(|name| !table.contains(*name) && *name != "--help" && *name != "--version").collect();
    let unknown: Vec<_> = table.iter().filter(|name| !known.contains(*name)).collect();
    assert!(
        undocumented.is_empty() && unknown.is_empty(),
        "not in the README: {undocumented:?}; not in the binary: {unknown:?}"
    );
}

#[test]
fn every_command_line_of_the_readme_is_one_that_the_binary_understands() {
    let mut tried = 0;
    for line in README.lines().map(str::trim) {
        let line = line.split('#').next().unwrap().split('<').next().unwrap();
        let line = line.trim_start_matches("PARTITION_KEY=0 ").trim_start_matches("PARTITION_KEY=1 ");
        let args = match line.strip_prefix("cargo run --release") {
            Some(rest) => rest.trim().trim_start_matches("-- "),
            None if line.starts_with("evenfold ") && !line.contains(" folds ") && !line.contains(" is ") => {
                &line["evenfold ".len()..]
            }
            None => continue,
        };
        let args: Vec<&str> = args.split_whitespace().collect();
        // Understood as far as the help: unknown flags and commands are refused before it is shown.
        assert!(help(&args).contains("Usage: evenfold"), "{line}");
        tried += 1;
    }
    assert!(tried >= 12, "only {tried} were found");
}
