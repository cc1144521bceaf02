//! The packages, the rooms in them and their files know each other in one direction only.
//!
//! Between packages, cargo sees to it that there are no circles; which may know which is drawn here. A room is a module
//! at the top of a package: which may name which is in `rooms.txt`. Files, and modules of any depth, make no circles.

mod circles;
mod engine;
mod modules;
mod rooms;
mod source;
mod surface;
mod the_check;
mod workspace;

use circles::circles;
use modules::Edges;
use std::collections::{BTreeMap, BTreeSet};

/// Which packages of ours each may depend on, other than for its tests.
const PACKAGES: [(&str, &[&str]); 14] = [
    ("evenfold", &[]),
    ("evenfold-embedded", &[]),
    ("evenfold-groups", &[]),
    ("evenfold-http", &[]),
    ("evenfold-monitor", &["evenfold", "evenfold-http"]),
    ("evenfold-cluster", &["evenfold-groups"]),
    ("evenfold-actors", &["evenfold-cluster", "evenfold-groups", "evenfold-http"]),
    ("evenfold-cache", &["evenfold-groups", "evenfold-http"]),
    ("evenfold-counter-service", &["evenfold", "evenfold-cluster", "evenfold-groups", "evenfold-http"]),
    ("evenfold-sql", &["evenfold"]),
    (
        "evenfold-cli",
        &[
            "evenfold",
            "evenfold-cache",
            "evenfold-cluster",
            "evenfold-counter-service",
            "evenfold-embedded",
            "evenfold-groups",
            "evenfold-http",
            "evenfold-monitor",
            "evenfold-sql",
        ],
    ),
    // Not published, and named by nobody but tests and examples.
    (
        "evenfold-bench",
        &[
            "evenfold",
            "evenfold-actors",
            "evenfold-cache",
            "evenfold-cli",
            "evenfold-cluster",
            "evenfold-counter-service",
            "evenfold-embedded",
            "evenfold-groups",
            "evenfold-http",
            "evenfold-sql",
        ],
    ),
    (
        "evenfold-testkit",
        &[
            "evenfold",
            "evenfold-cache",
            "evenfold-cluster",
            "evenfold-counter-service",
            "evenfold-embedded",
            "evenfold-groups",
            "evenfold-http",
        ],
    ),
    (
        "evenfold-examples",
        &["evenfold", "evenfold-actors", "evenfold-cli", "evenfold-cluster", "evenfold-embedded", "evenfold-groups"],
    ),
];

#[test]
fn a_package_depends_on_those_that_are_drawn_below_it_only() {
    let drawn: BTreeMap<_, BTreeSet<_>> = PACKAGES.map(|(name, below)| (name, below.iter().copied().collect())).into();
    let members = workspace::members();
    for (name, member) in &members {
        let ours =
            member.dependencies.iter().map(String::as_str).filter(|dependency| members.contains_key(*dependency));
        assert_eq!(Some(&ours.collect()), drawn.get(name.as_str()), "{name}: what it depends on, and what is drawn");
    }
    assert_eq!(members.len(), drawn.len(), "a package is drawn that there is not");
}

fn all_edges() -> BTreeMap<String, Edges> {
    workspace::members().into_iter().map(|(name, member)| (name, member.edges())).collect()
}

#[test]
fn modules_make_no_circles() {
    let edges = all_edges();
    let mut found = Vec::new();
    for (package, edges) in &edges {
        found.extend(circles(edges).into_iter().map(|circle| format!("{package}: {circle}")));
    }
    assert!(found.is_empty(), "modules make circles:\n{}", found.join("\n"));
}
