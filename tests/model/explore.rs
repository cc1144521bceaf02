//! Running the checker on a model of nodes, and printing what it did.

use stateright::{Checker, HasDiscoveries, Model, UniformChooser};
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

/// A model of nodes, with the cases that are to occur in it and a mistake that it may have.
pub trait Nodes:
    Model<State: Debug + Clone + PartialEq + Hash + Send + Sync, Action: Debug + Clone + PartialEq + Send + Sync>
    + Clone
    + Send
    + Sync
    + 'static
{
    type Mutant: Debug + Copy;

    /// The same with this mistake.
    fn mutated(&self, mutant: Self::Mutant) -> Self;

    /// Whether a property is a case that is to occur, and nothing that must hold.
    fn is_wanted(property: &str) -> bool;

    fn wanted(&self) -> &'static [&'static str];
}

pub fn exhaustively<N: Nodes>(name: &str, nodes: &N) {
    let started = Instant::now();
    let checker = nodes.clone().checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{name}: {states} states, at most {depth} steps deep, in {:.1?}", started.elapsed());
    judge(name, nodes, &checker);
}

/// Walks through histories at random, for what is too large for every one.
pub fn at_random<N: Nodes>(name: &str, seed: u64, states: usize, nodes: &N) {
    let started = Instant::now();
    let builder = nodes.clone().checker().finish_when(HasDiscoveries::AnyFailures).target_state_count(states);
    let checker = builder.spawn_simulation(seed, UniformChooser).join();
    println!("{name}: {} states with seed {seed}, in {:.1?}", checker.state_count(), started.elapsed());
    judge(name, nodes, &checker);
}

fn judge<N: Nodes>(name: &str, nodes: &N, checker: &impl Checker<N>) {
    for (property, path) in checker.discoveries() {
        let steps: Vec<_> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
        assert!(N::is_wanted(property), "{name}: not so: {property}\n{}", steps.join("\n"));
    }
    for case in nodes.wanted() {
        assert!(checker.discovery(case).is_some(), "{name}: never occurred: {case}");
    }
}

pub fn rejects<N: Nodes>(mutant: N::Mutant, nodes: &N) {
    let checker = nodes.mutated(mutant).checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let wrong = checker.discoveries().into_iter().find(|(property, _)| !N::is_wanted(property));
    let states = checker.unique_state_count();
    let Some((property, path)) = wrong else { panic!("{mutant:?} survived {states} states") };
    println!("{mutant:?}: {} steps against \"{property}\", after {states} states", path.into_actions().len());
}
