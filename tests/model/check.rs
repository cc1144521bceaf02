//! Running the checker, and saying what it did.

use super::cases::Case;
use super::chance::Chance;
use super::mutant::Mutant;
use super::protocol::{Protocol, State};
use super::step::Action;
use stateright::{Checker, HasDiscoveries, Model, Path};
use std::fmt::Write;
use std::time::Instant;

/// Explores every state, and expects no counterexample, and to have met these cases.
pub fn exhaustively(name: &str, protocol: &Protocol, cases: &[Case]) {
    let started = Instant::now();
    let checker = protocol.clone().checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{name}: {} states, {} transitions, at most {} steps deep, in {:.1?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed()
    );
    expect_none(name, &checker);
    expect_all(name, protocol, cases);
}

fn expect_none(name: &str, checker: &impl Checker<Protocol>) {
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{name}: not so: {property}\n{}", steps(path));
    }
}

fn expect_all(name: &str, protocol: &Protocol, cases: &[Case]) {
    let missing: Vec<&Case> = cases.iter().filter(|&&case| !protocol.cases.has(case)).collect();
    assert!(missing.is_empty(), "{name}: never occurred: {missing:?}");
}

fn steps(path: Path<State, Action>) -> String {
    let mut text = String::new();
    for (n, action) in path.into_actions().into_iter().enumerate() {
        let _ = writeln!(text, "{:3}. {action:?}", n + 1);
    }
    text
}

/// Explores until there is a counterexample, and expects one.
pub fn rejects(mutant: Mutant, protocol: Protocol) {
    let started = Instant::now();
    let mutated = Protocol { mutant: Some(mutant), ..protocol };
    // One thread: the counterexample is the shortest, and the same each time.
    let checker = mutated.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries().into_iter().map(|(property, path)| (path.into_actions(), property));
    let shortest = found.min_by_key(|(actions, _)| actions.len());
    let states = checker.unique_state_count();
    let Some((actions, property)) = shortest else {
        panic!("{mutant:?} survived {states} states");
    };
    let steps = actions.len();
    println!("{mutant:?}: {steps} steps against \"{property}\", after {states} states, in {:.1?}", started.elapsed());
}

/// Walks through histories at random until this many states were seen, and expects no counterexample, and
/// to have met these cases.
pub fn at_random(name: &str, seed: u64, states: usize, protocol: &Protocol, cases: &[Case]) {
    let (started, chance) = (Instant::now(), Chance::default());
    // One thread: a seed is the same histories each time.
    let builder = protocol.clone().checker().finish_when(HasDiscoveries::AnyFailures).target_state_count(states);
    let checker = builder.spawn_simulation(seed, chance.clone()).join();
    println!(
        "{name}: {} histories of {} states, at most {} steps long, with seed {seed}, in {:.1?}",
        chance.histories(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed()
    );
    expect_none(name, &checker);
    expect_all(name, protocol, cases);
}

/// Walks through histories at random until there is a counterexample, and expects one.
pub fn rejects_at_random(mutant: Mutant, seed: u64, protocol: Protocol) {
    let (started, chance) = (Instant::now(), Chance::default());
    let mutated = Protocol { mutant: Some(mutant), ..protocol };
    let builder = mutated.checker().finish_when(HasDiscoveries::AnyFailures).target_state_count(3_000_000);
    let checker = builder.spawn_simulation(seed, chance.clone()).join();
    let histories = chance.histories();
    let Some((property, path)) = checker.discoveries().into_iter().next() else {
        panic!("{mutant:?} survived {histories} histories with seed {seed}");
    };
    let steps = path.into_actions().len();
    println!("{mutant:?}: {steps} steps against \"{property}\", in history {histories}, in {:.1?}", started.elapsed());
}
