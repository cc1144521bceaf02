//! Each room of the engine knows only the rooms above it; between packages cargo sees to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the library, from those that know nothing to those that know everything.
const ROOMS: [&str; 12] = [
    "invariant",
    "hash",
    "class",
    "event",
    "counter",
    "actor",
    "database",
    "log",
    "checkpoint",
    "lease",
    "schema",
    "projection",
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The rooms that a source names after `crate::`, in its code.
fn named(source: &str) -> BTreeSet<&str> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
        .collect()
}

fn upward(own: &str, source: &str) -> Vec<String> {
    let level = |room: &str| ROOMS.iter().position(|r| *r == room).unwrap_or_else(|| panic!("{room} is no room"));
    let up = named(source).into_iter().filter(|room| level(room) > level(own));
    up.map(|room| format!("{own} uses {room}")).collect()
}

#[test]
fn no_room_knows_a_room_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in sources(&src) {
        let inside = file.strip_prefix(&src).unwrap();
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if room != "lib" {
            wrong.extend(upward(room, &fs::read_to_string(&file).unwrap()));
            seen.insert(room.to_owned());
        }
    }
    assert_eq!(seen, ROOMS.map(str::to_owned).into());
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_check_sees_an_upward_use() {
    assert_eq!(upward("log", "use crate::event::Event;\n// crate::projection\n"), [""; 0]);
    assert_eq!(upward("log", "fn f() { crate::projection::run() }"), ["log uses projection"]);
}
