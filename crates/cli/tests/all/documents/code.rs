//! The code in documents is of the language it is labelled with, and what it names exists.

use crate::support::documents::{document, documents, files, root};
use std::collections::BTreeSet;
use std::fs;

const LANGUAGES: [&str; 7] = ["rust", "rust,no_run", "sh", "sql", "toml", "json", "text"];

/// Without a language, or indented instead of fenced, a block counts as Rust where a document is compiled.
#[test]
fn every_block_of_code_has_a_language() {
    let mut wrong = Vec::new();
    for document in documents() {
        let at = |line: usize, what: &str| format!("{}:{line}: {what}", document.path);
        let fences = document.fences();
        wrong.extend(
            fences
                .iter()
                .filter(|fence| !LANGUAGES.contains(&fence.language.as_str()))
                .map(|fence| at(fence.line, &format!("{:?} is none of {LANGUAGES:?}", fence.language))),
        );
        let prose = document.prose();
        let indented = prose.iter().filter(|(_, line)| line.starts_with("    ") || line.starts_with('\t'));
        wrong.extend(indented.map(|(line, _)| at(*line, "is indented: give it a fence")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// As a test of the documentation, of whichever package has what it uses.
#[test]
fn every_document_with_rust_is_compiled() {
    let sources = files(root()).into_iter().filter(|path| path.ends_with("src/lib.rs"));
    let sources: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let included: Vec<&str> =
        sources.lines().filter(|line| line.trim_start().starts_with("#[doc = include_str!(\"../")).collect();
    let all = documents();
    let with_rust: Vec<&str> = all
        .iter()
        .filter(|document| document.fences().iter().any(|fence| fence.language.starts_with("rust")))
        .map(|document| document.path.as_str())
        .collect();
    assert!(with_rust.len() >= 4, "{with_rust:?}");
    for path in with_rust {
        let end = format!("../{path}\")]");
        assert!(included.iter().any(|line| line.ends_with(&end)), "{path} is compiled by no src/lib.rs");
    }
}

/// Settings of PostgreSQL and codes of errors with names that are as long as those of tests.
const NO_TESTS: [&str; 2] = ["idle_in_transaction_session_timeout", "too_many_bytes_in_flight"];

#[test]
fn every_test_that_a_document_names_is_there() {
    let rust = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let sources: String =
        files(root()).iter().filter(|path| rust(path)).map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut named = 0;
    for document in documents() {
        for (line, span) in document.spans() {
            let is_name = span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            let is_figure = span.starts_with("evenfold_");
            if is_name && !is_figure && span.matches('_').count() >= 4 && !NO_TESTS.contains(&span.as_str()) {
                assert!(sources.contains(&format!("fn {span}(")), "{}:{line}: there is no {span}", document.path);
                named += 1;
            }
        }
    }
    assert!(named >= 20, "only {named} were found");
}

/// A file of its users, not of the repository.
const OF_USERS: [&str; 1] = ["evenfold.toml"];

/// A path, or its end: `order.rs` is any file of this name.
#[test]
fn every_file_that_a_document_names_is_there() {
    let all: Vec<String> = files(root())
        .iter()
        .flat_map(|path| path.strip_prefix(root()).unwrap().ancestors())
        .map(|path| format!("/{}", path.to_str().unwrap()))
        .collect();
    let is_path = |span: &str| {
        let directories = ["src/", "crates/", "tests/", "docs/", "scripts/", "examples/", "migrations/", "deploy/"];
        let endings = [".rs", ".sql", ".md", ".toml", ".yml", ".json"];
        !span.contains(' ')
            && (directories.iter().any(|start| span.starts_with(start))
                || endings.iter().any(|end| span.ends_with(end)))
    };
    let (mut wrong, mut right) = (Vec::new(), 0);
    // The history has files that are no more.
    for document in documents().into_iter().filter(|document| document.path != "CHANGELOG.md") {
        for (line, span) in document.spans().into_iter().filter(|(_, span)| is_path(span)) {
            let end = format!("/{}", span.trim_end_matches('/'));
            if OF_USERS.contains(&span.as_str()) || all.iter().any(|path| path.ends_with(&end)) {
                right += 1;
            } else {
                wrong.push(format!("{}:{line}: {span}", document.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(right >= 50, "only {right} were found");
}

/// The packages of the workspace that a manifest depends on, by their short names.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names
        .filter(|name| name.starts_with("evenfold"))
        .map(|name| name.trim_start_matches("evenfold-").to_owned())
        .collect()
}

#[test]
fn the_table_of_packages_says_who_depends_on_whom() {
    let page = document("CONTRIBUTING.md");
    let rows = page.text.lines().skip_while(|line| !line.starts_with("| package")).skip(2);
    let mut seen = BTreeSet::new();
    for row in rows.take_while(|row| row.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells[0].split('`').nth(1).unwrap();
        let directory = if name == "evenfold" { root().to_owned() } else { root().join(name) };
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
        let listed: BTreeSet<String> =
            cells[2].split(", ").filter(|name| *name != "none of the others").map(str::to_owned).collect();
        assert_eq!(listed, dependencies(&manifest), "{name}");
        seen.insert(name.to_owned());
    }
    // What is a workspace of its own is none of these.
    let is_ours = |path: &std::path::PathBuf| {
        *path == root().join("Cargo.toml") || !fs::read_to_string(path).unwrap().contains("\n[workspace]\n")
    };
    let manifests = files(root()).into_iter().filter(|path| path.ends_with("Cargo.toml")).filter(is_ours).count();
    assert_eq!(seen.len(), manifests, "{seen:?}");
}
