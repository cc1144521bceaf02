//! Circles of modules: of files, and of whole rooms.
//!
//! What two files have to do with each other is a matter of the innermost module that both are in: there, one of its
//! children (with everything inside that), or the module's own file, depends on another. A circle of files is a circle
//! of these in at least one module; what is a circle of these only, without one of files, is a knot all the same.

use super::modules::Edges;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

/// Who depends on whom.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The modules that a file is in, and itself.
pub(super) fn module(file: &str) -> Vec<&str> {
    let mut path: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
    if path.last().is_some_and(|last| *last == "mod") {
        path.pop();
    }
    path
}

/// The file of a package that all others are modules of.
fn is_root(file: &str) -> bool {
    matches!(file, "lib.rs" | "main.rs")
}

/// The module that two files have in common, and which of its children (or its own file) each is in.
fn meeting(from: &str, to: &str) -> (String, String, String) {
    let paths = [from, to].map(|file| if is_root(file) { Vec::new() } else { module(file) });
    let common = paths[0].iter().zip(&paths[1]).take_while(|(a, b)| a == b).count();
    let below = |file: &str, path: &[&str]| path.get(..=common).map_or_else(|| file.to_owned(), |path| path.join("/"));
    (paths[0][..common].join("/"), below(from, &paths[0]), below(to, &paths[1]))
}

/// The shortest way along at least one edge, with both its ends.
fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(at) = next.pop_front() {
        for neighbour in graph.get(at).into_iter().flatten() {
            if !before.contains_key(neighbour.as_str()) {
                before.insert(neighbour, at);
                next.push_back(neighbour);
            }
        }
    }
    let mut way = vec![to.to_owned(), before.get(to)?.to_string()];
    while let Some(last) = way.last().filter(|last| *last != from) {
        way.push(before[last.as_str()].to_owned());
    }
    way.reverse();
    Some(way)
}

/// The shortest circle through each step that is part of one; each circle once, from its first name on.
pub(super) fn circles(edges: &Edges) -> BTreeSet<String> {
    let mut graphs: BTreeMap<String, Graph> = BTreeMap::new();
    for (from, to) in edges.keys() {
        let (place, from, to) = meeting(from, to);
        graphs.entry(place).or_default().entry(from).or_default().insert(to);
    }
    let mut found = BTreeSet::new();
    for graph in graphs.values() {
        for (from, to) in graph.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
            if let Some(mut circle) = way(graph, to, from) {
                let first = circle.iter().enumerate().min_by_key(|(_, name)| *name).map_or(0, |(at, _)| at);
                circle.rotate_left(first);
                circle.push(circle[0].clone());
                found.insert(described(&circle, edges));
            }
        }
    }
    found
}

/// A circle, and for each of its steps what is named.
fn described(circle: &[String], edges: &Edges) -> String {
    let mut lines = circle.join(" → ");
    for step in circle.windows(2) {
        for ((from, to), names) in edges {
            let (_, a, b) = meeting(from, to);
            if [a, b] == *step {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                let _ = write!(lines, "\n    {from} names {} of {to}", names.join(", "));
            }
        }
    }
    lines
}
