//! Every statement in the source names the schema of what is evenfold's: an unqualified name is whatever a session's
//! `search_path` finds under it, an application's table for one.

use std::fs;
use std::path::{Path, PathBuf};

/// What the migrations make.
const RELATIONS: [&str; 15] = [
    "events",
    "log_origin",
    "projections",
    "checkpoint_revisions",
    "checkpoints",
    "parked_events",
    "heartbeats",
    "topologies",
    "leases",
    "erasures",
    "operations",
    "counters",
    "counters_rebuild",
    "events_position_seq",
    "_sqlx_migrations",
];
const FUNCTIONS: [&str; 11] = [
    "hash",
    "refuse",
    "place",
    "append",
    "append_arrays",
    "check_json",
    "check_event_ids",
    "check_events",
    "erase",
    "commit_counters",
    "new_event_id",
];

/// Words of SQL after which a relation is named. Written in capitals, which no prose is.
const BEFORE: [&str; 13] = [
    "FROM",
    "JOIN",
    "INTO",
    "UPDATE",
    "TABLE",
    "TRUNCATE",
    "ONLY",
    "COPY",
    "ANALYZE",
    "VACUUM",
    "FULL",
    "REFERENCES",
    "SEQUENCE",
];

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|ext| ext == "rs" || ext == "sql")).collect()
}

/// A word of a text: where it begins, and where it ends.
fn words(text: &str) -> Vec<(usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let word = &rest[start..];
        let word = &word[..word.find(|c| !is_part(c)).unwrap_or(word.len())];
        words.push((text.len() - rest.len() + start, word));
        rest = &rest[start + word.len()..];
    }
    words
}

/// The names of evenfold's in the statements of a text that have no schema before them.
fn unqualified(text: &str) -> Vec<String> {
    let words = words(text);
    let mut found = Vec::new();
    for (n, &(at, word)) in words.iter().enumerate() {
        let before = &text[..at];
        let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
        if line.starts_with("//") || line.starts_with("--") || before.ends_with('.') {
            continue;
        }
        let previous = n.checked_sub(1).map(|n| words[n]);
        let after = &text[at + word.len()..];
        // In a list of relations, `LOCK TABLE a, b`, the words before are names as well.
        let listed = words[..n].iter().rev().find(|(at, word)| {
            !(RELATIONS.contains(word) || *word == "evenfold" || text[..*at].ends_with("evenfold."))
        });
        let is_named = listed.is_some_and(|(start, word)| {
            let between = &text[start + word.len()..at];
            BEFORE.contains(word) && between.chars().all(|c| c.is_alphanumeric() || "_., \n\t\"\\".contains(c))
        });
        let as_text = before.ends_with('\'') && after.starts_with('\'');
        let looked_up = as_text
            && (after.starts_with("'::regclass")
                || ["nextval('", "currval('", "setval('", "regclass('", "last_value('"]
                    .iter()
                    .any(|f| before.ends_with(f)));
        let called =
            FUNCTIONS.contains(&word) && after.starts_with('(') && previous.is_some_and(|(_, p)| p == "SELECT");
        if (RELATIONS.contains(&word) && (is_named || looked_up)) || called {
            found.push(format!("{} {word}", previous.map_or("", |(_, p)| p)));
        }
    }
    found
}

#[test]
fn every_statement_of_the_source_names_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut wrong, mut qualified) = (Vec::new(), 0);
    for file in ["src", "migrations", "examples", "tests", "crates"].iter().flat_map(|dir| files(&root.join(dir))) {
        // What is about names without a schema: this file, tables of an application and of other libraries, and those
        // of the layout before.
        let others = ["statements.rs", "application.rs", "moved_tables.rs", "moving.rs"];
        if others.iter().any(|name| file.ends_with(name))
            || ["layout_0_1", "tables", "programs"]
                .iter()
                .any(|name| file.components().any(|part| part.as_os_str() == *name))
        {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        qualified += text.matches("evenfold.").count();
        let found = unqualified(&text).into_iter();
        wrong.extend(found.map(|found| format!("{}: {found}", file.strip_prefix(root).unwrap().display())));
    }
    assert!(qualified > 300, "the sources were read: {qualified}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_check_sees_what_has_no_schema() {
    for (text, expected) in [
        ("SELECT 1 FROM events WHERE x", vec!["FROM events"]),
        ("SELECT 1\n  FROM\n  events e", vec!["FROM events"]),
        ("LOCK TABLE evenfold.events, checkpoints IN", vec!["events checkpoints"]),
        ("SELECT nextval('checkpoint_revisions')", vec!["nextval checkpoint_revisions"]),
        ("'events'::regclass", vec![" events"]),
        ("INSERT INTO leases (x)", vec!["INTO leases"]),
        ("SELECT append('t')", vec!["SELECT append"]),
        ("SELECT 1 FROM evenfold.events JOIN evenfold.checkpoints c", vec![]),
        ("-- FROM events\n// FROM events", vec![]),
        ("the events that come from the events", vec![]),
    ] {
        assert_eq!(unqualified(text), expected, "{text}");
    }
}
