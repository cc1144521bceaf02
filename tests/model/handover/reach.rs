//! Whether it can always end well: there must be no state from which nothing leads to one where all is at rest.

use super::Mutant;
use super::cluster::{Cluster, State};
use super::node::{Phase, Shard};
use stateright::Model;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// All who have begun to join or to leave have done it, and the owner has everything.
fn is_at_rest(state: &State) -> bool {
    let done = |phase: Phase| matches!(phase, Phase::Absent | Phase::Live | Phase::Gone);
    if !state.nodes.iter().all(|node| done(node.phase)) {
        return false;
    }
    match state.nodes.iter().rfind(|node| node.phase == Phase::Live) {
        Some(owner) => owner.shard == Shard::Owned && owner.counters == state.totals,
        None => true,
    }
}

/// Explores every state, and expects that each can come to rest, without anybody else joining, leaving or waiting in
/// vain.
pub fn always(name: &str, cluster: &Cluster) {
    let (states, stuck) = explore(cluster);
    println!("{name}: {states} states, {} of which can't come to rest", u8::from(stuck.is_some()));
    assert!(stuck.is_none(), "{name}: nothing leads on from {stuck:#?}");
}

/// Explores every state, and expects one that can't come to rest.
pub fn rejects(mutant: Mutant, cluster: &Cluster) {
    let (states, stuck) = explore(&Cluster { mutant: Some(mutant), ..cluster.clone() });
    assert!(stuck.is_some(), "{mutant:?} survived {states} states");
}

/// How many states there are, and one that can't come to rest.
fn explore(cluster: &Cluster) -> (usize, Option<State>) {
    let mut numbers: HashMap<State, usize> = HashMap::new();
    let (mut states, mut before) = (Vec::new(), Vec::<Vec<usize>>::new());
    for state in cluster.init_states() {
        numbers.insert(state.clone(), states.len());
        states.push(state);
        before.push(Vec::new());
    }
    let (mut number, mut actions) = (0, Vec::new());
    while number < states.len() {
        let state = states[number].clone();
        cluster.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = cluster.next_state(&state, action) else { continue };
            let found = states.len();
            let next = match numbers.entry(next) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    states.push(new.key().clone());
                    before.push(Vec::new());
                    *new.insert(found)
                }
            };
            if Cluster::is_progress(&action) {
                before[next].push(number);
            }
        }
        number += 1;
    }
    let mut ends = vec![false; states.len()];
    let mut queue: Vec<usize> = (0..states.len()).filter(|number| is_at_rest(&states[*number])).collect();
    for number in &queue {
        ends[*number] = true;
    }
    while let Some(number) = queue.pop() {
        for &earlier in &before[number] {
            if !std::mem::replace(&mut ends[earlier], true) {
                queue.push(earlier);
            }
        }
    }
    let stuck = ends.iter().position(|ends| !ends).map(|number| states.swap_remove(number));
    (numbers.len(), stuck)
}
