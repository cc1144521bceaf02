//! What comes along with the engine.

use super::workspace::{cargo, members};
use std::collections::BTreeSet;

/// Servers, brokers, actors, command lines and caches: whoever folds events compiles none of them.
const FORBIDDEN: [&str; 10] =
    ["async-nats", "axum", "clap", "hyper", "indicatif", "kameo", "lz4_flex", "papaya", "prometheus-client", "utoipa"];

/// What the engine is made of, and everybody has anyway.
const GIVEN: [&str; 9] = ["fnv", "hashbrown", "serde", "serde_json", "sqlx", "thiserror", "tokio", "tracing", "uuid"];

/// What it needs beyond these: as many as a hand has fingers, at most.
const OTHERS: [&str; 5] = ["fastrand", "futures-util", "jiff", "nix", "tokio-util"];

/// The names of all packages that are compiled into whoever uses the engine.
fn tree() -> BTreeSet<String> {
    let arguments = ["tree", "--package", "evenfold", "--all-features", "--edges", "normal", "--prefix", "none"];
    let tree = cargo(&arguments);
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn forbidden(tree: &BTreeSet<String>) -> Vec<&str> {
    let is = |name: &str| FORBIDDEN.iter().any(|forbidden| name.starts_with(forbidden));
    tree.iter().map(String::as_str).filter(|name| is(name)).collect()
}

#[test]
fn the_engine_brings_no_server_broker_actor_or_command_line_along() {
    let tree = tree();
    assert!(tree.contains("evenfold") && tree.contains("sqlx-postgres"), "{tree:?}");
    assert_eq!(forbidden(&tree), [""; 0]);
    let with_one = BTreeSet::from(["hyper-util", "prometheus-client", "tokio"].map(str::to_owned));
    assert_eq!(forbidden(&with_one), ["hyper-util", "prometheus-client"]);
}

#[test]
fn the_engines_own_dependencies_can_be_counted_on_one_hand() {
    let members = members();
    let own: BTreeSet<_> = members["evenfold"].dependencies.iter().map(String::as_str).collect();
    let allowed: BTreeSet<_> = GIVEN.into_iter().chain(OTHERS).collect();
    assert_eq!(own, allowed);
}
