//! Command lines are ones that the binary understands, and what else they start is there.

use crate::support::documents::{documents, help, root, words};

/// What is wrong with a command; none if it is another program's.
fn check(words: &[&str]) -> Option<Result<(), String>> {
    match words {
        ["evenfold", args @ ..] if !args.is_empty() => Some(evenfold(args)),
        ["cargo", "run", rest @ ..] => cargo_run(rest),
        ["cargo", "install", "--path", path, ..] => Some(exists(&format!("{path}/src/main.rs"))),
        ["cargo", "test", rest @ ..] => Some(cargo_test(rest)),
        [script, ..] if script.starts_with("scripts/") => Some(exists(script)),
        _ => None,
    }
}

fn evenfold(args: &[&str]) -> Result<(), String> {
    help(args).map(drop)
}

fn exists(path: &str) -> Result<(), String> {
    if root().join(path).is_file() { Ok(()) } else { Err(format!("there is no {path}")) }
}

/// None for the benchmarks: that package has a test of its own for them.
fn cargo_run(words: &[&str]) -> Option<Result<(), String>> {
    let mut split = words.splitn(2, |word| *word == "--");
    let (own, args) = (split.next().unwrap_or_default(), split.next().unwrap_or_default());
    match own.iter().copied().filter(|word| *word != "--release").collect::<Vec<_>>()[..] {
        [] => Some(evenfold(args)),
        // What is behind it is looked at by the examples' own tests.
        ["--example", name] => Some(exists(&format!("examples/{name}.rs"))),
        ["-p", "evenfold-bench"] => None,
        _ => Some(Err("nobody has decided what this runs".to_owned())),
    }
}

/// The packages and the files of tests that it names are there.
fn cargo_test(words: &[&str]) -> Result<(), String> {
    for pair in words.windows(2) {
        match pair {
            ["-p", package] => {
                let package = package.strip_prefix("evenfold-").ok_or_else(|| format!("what is {package}?"))?;
                exists(&format!("crates/{package}/Cargo.toml"))?;
            }
            ["--test", name] => {
                let crates = ["", "crates/cli/"].map(|package| format!("{package}tests/{name}/main.rs"));
                crates.iter().find_map(|path| exists(path).ok()).ok_or_else(|| format!("there is no test {name}"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn every_command_line_of_a_document_is_one_that_can_be_followed() {
    let (mut wrong, mut right) = (Vec::new(), 0);
    for document in documents() {
        // The history has commands that are no more.
        if document.path == "CHANGELOG.md" {
            continue;
        }
        for (number, line) in document.commands() {
            match check(&words(&line)) {
                Some(Ok(())) => right += 1,
                Some(Err(reason)) => wrong.push(format!("{}:{number}: {line}: {reason}", document.path)),
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(right >= 80, "only {right} were found");
}

#[test]
fn a_command_line_that_can_not_be_followed_is_found() {
    let outcome = |line| check(&words(line)).map(|outcome| outcome.is_ok());
    for right in [
        "evenfold status --watch   # a comment",
        "PARTITION_KEY=0 cargo run --release",
        "cargo run -- --partition-key=2",
        "cargo run --release --example custom_projection",
        "evenfold append < events.ndjson",
        "scripts/test",
        "cargo install --path crates/cli",
        "cargo test -p evenfold-groups resize",
        "cargo test --test model",
    ] {
        assert_eq!(outcome(right), Some(true), "{right}");
    }
    for wrong in [
        "evenfold status --look",
        "evenfold stats",
        "A=1 evenfold pool --workers none",
        "cargo run --release -- --partition-key=x",
        "cargo run --example none",
        "cargo run --bin evenfold",
        "scripts/none",
        "cargo install --path .",
        "cargo test -p evenfold-none",
        "cargo test -p none",
        "cargo test --test none",
    ] {
        assert_eq!(outcome(wrong), Some(false), "{wrong}");
    }
    for foreign in [
        "cargo run --release -p evenfold-bench -- none",
        "curl localhost:8080",
        "evenfold",
        "docker compose up",
        "PARTITION_KEY=0",
    ] {
        assert_eq!(outcome(foreign), None, "{foreign}");
    }
}
