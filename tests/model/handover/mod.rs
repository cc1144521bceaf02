//! How a shard of the counter cluster changes hands: who may count, and where the counters are meanwhile.
//!
//! One shard, a few nodes that join and leave in any order, heartbeats that are seen late, and answers that are lost.
//! The nodes are modelled by hand ([`node`]): the production code is in `crates/cluster`, `greeting` (who knows whom)
//! and `sharding` (claims and parts). There, a question that comes late concerns nothing, as it names what it is about
//! by numbers; here it is dropped. What must hold: whoever counts has everything that was counted, and whatever has
//! happened, it can end well.

mod cases;
mod cluster;
mod node;
mod reach;
mod steps;

use cluster::Cluster;
use stateright::{Checker, HasDiscoveries, Model, UniformChooser};
use std::time::Instant;

/// A mistake that the handover does not make, and the model must not survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// A node looks who is there, and announces itself afterwards.
    ListedBeforeNamed,
    /// A node that joins does not wait until the others know it.
    NoGreeting,
    /// Only those are asked for a shard whom the view calls members.
    OnlyMembersAsked,
    /// One that is claiming a shard itself has nothing against another claim.
    FreeWhileClaiming,
    /// A claim goes by answers that were given to an earlier one.
    AnswersKept,
    /// A part is forgotten as soon as it is sent.
    ForgottenWhenSent,
    /// A taker whose view has changed leaves what it has not got an answer about.
    TakingAbandoned,
    /// A question is answered also after a later one of the same node.
    Overtaken,
    /// Any claim that gets the counters may have them, also while another one is being given them.
    PromisedTwice,
    /// A node leaves when its shard is to be taken over, instead of when it was.
    GoneTooEarly,
    /// A node that leaves goes on with a claim, and leaves with what it takes over by that.
    ClaimsWhileLeaving,
}

fn exhaustively(name: &str, cluster: &Cluster) {
    let started = Instant::now();
    let checker = cluster.clone().checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{name}: {states} states, at most {depth} steps deep, in {:.1?}", started.elapsed());
    judge(name, cluster, &checker);
}

fn judge(name: &str, cluster: &Cluster, checker: &impl Checker<Cluster>) {
    for (property, path) in checker.discoveries() {
        let steps: Vec<_> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
        assert!(Cluster::is_wanted(property), "{name}: not so: {property}\n{}", steps.join("\n"));
    }
    for case in cluster.wanted() {
        assert!(checker.discovery(case).is_some(), "{name}: never occurred: {case}");
    }
}

/// Walks through histories at random, for what is too large for every one.
fn at_random(name: &str, seed: u64, states: usize, cluster: &Cluster) {
    let started = Instant::now();
    let builder = cluster.clone().checker().finish_when(HasDiscoveries::AnyFailures).target_state_count(states);
    let checker = builder.spawn_simulation(seed, UniformChooser).join();
    println!("{name}: {} states with seed {seed}, in {:.1?}", checker.state_count(), started.elapsed());
    judge(name, cluster, &checker);
}

fn rejects(mutant: Mutant, cluster: &Cluster) {
    let mutated = Cluster { mutant: Some(mutant), ..cluster.clone() };
    let checker = mutated.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let wrong = checker.discoveries().into_iter().find(|(property, _)| !Cluster::is_wanted(property));
    let states = checker.unique_state_count();
    let Some((property, path)) = wrong else { panic!("{mutant:?} survived {states} states") };
    println!("{mutant:?}: {} steps against \"{property}\", after {states} states", path.into_actions().len());
}
