//! Which room of a package may name which: `rooms.txt` is the table.
//!
//! A line has a package, or a room and those that it names. `lib` is the root, where it defines something itself.

use super::all_edges;
use super::circles::module;
use super::modules::Edges;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const TABLE: &str = include_str!("rooms.txt");

type Rooms = BTreeMap<String, BTreeSet<String>>;

fn rooms(edges: &Edges) -> Rooms {
    let mut rooms = Rooms::new();
    for (from, to) in edges.keys() {
        let [from, to] = [from, to].map(|file| module(file)[0].to_owned());
        rooms.entry(to.clone()).or_default();
        let named = rooms.entry(from.clone()).or_default();
        if from != to {
            named.insert(to);
        }
    }
    rooms.retain(|_, named| !named.is_empty());
    rooms
}

fn written(tables: &BTreeMap<String, Rooms>) -> String {
    let mut text = String::new();
    for (package, rooms) in tables.iter().filter(|(_, rooms)| !rooms.is_empty()) {
        writeln!(text, "{package}").unwrap();
        for (room, named) in rooms {
            let named: Vec<_> = named.iter().map(String::as_str).collect();
            writeln!(text, "    {room}: {}", named.join(" ")).unwrap();
        }
    }
    text
}

#[test]
fn a_room_names_those_rooms_only_that_its_package_has_a_line_for() {
    let tables: BTreeMap<_, _> = all_edges().into_iter().map(|(name, edges)| (name, rooms(&edges))).collect();
    let is = written(&tables);
    let [is_lines, table]: [Vec<_>; 2] = [&is, TABLE].map(|text| text.lines().collect());
    let new: Vec<_> = is_lines.iter().filter(|line| !table.contains(line)).collect();
    let gone: Vec<_> = table.iter().filter(|line| !is_lines.contains(line)).collect();
    assert!(is == TABLE, "the table of rooms is another: {new:#?} instead of {gone:#?}; it would be\n{is}");
}
