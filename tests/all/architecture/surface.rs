//! What the engine shows to those who use it.

use super::workspace::root;
use std::collections::BTreeSet;
use std::fs;
use syn::{Attribute, Item, UseTree, Visibility};

/// Names at the root of the crate: what someone who appends, folds, waits and operates needs.
const MOST_NAMES: usize = 55;

/// The only module that is documented: the projection that is built in.
const MODULES: [&str; 1] = ["counters"];

fn names(tree: &UseTree, into: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => names(&path.tree, into),
        UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, into)),
        UseTree::Name(name) => drop(into.insert(name.ident.to_string())),
        UseTree::Rename(name) => drop(into.insert(name.rename.to_string())),
        UseTree::Glob(_) => drop(into.insert("*".to_owned())),
    }
}

fn hidden(attributes: &[Attribute]) -> bool {
    let hides = |attribute: &Attribute| {
        attribute.path().is_ident("doc") && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "hidden")
    };
    attributes.iter().any(hides)
}

/// The names that are re-exported at the root, and the modules that are documented.
fn surface(text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut exported, mut modules) = (BTreeSet::new(), BTreeSet::new());
    for item in syn::parse_file(text).unwrap().items {
        match item {
            Item::Use(item) if matches!(item.vis, Visibility::Public(_)) => names(&item.tree, &mut exported),
            Item::Mod(item) if matches!(item.vis, Visibility::Public(_)) && !hidden(&item.attrs) => {
                modules.insert(item.ident.to_string());
            }
            _ => {}
        }
    }
    (exported, modules)
}

/// Paths through a module of the engine in a text: `evenfold::log::append`, where `evenfold::append` is documented.
fn paths_through_modules(text: &str) -> Vec<&str> {
    let starts = text.match_indices("evenfold::").map(|(at, start)| &text[at + start.len()..]);
    // In braces as well: `evenfold::{log::append, Schema}`.
    let each = starts.flat_map(|rest| match rest.strip_prefix('{') {
        Some(names) => names.split('}').next().unwrap_or_default().split(',').map(str::trim_start).collect(),
        None => vec![rest],
    });
    let words = each.filter_map(|rest| {
        let end = rest.find(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'))?;
        rest[end..].starts_with("::").then(|| &rest[..end])
    });
    words.filter(|word| !word.is_empty() && !MODULES.contains(word)).collect()
}

#[test]
fn the_root_has_the_names_that_users_need_and_hides_the_modules_of_the_protocol() {
    let (names, modules) = surface(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    assert!((35..=MOST_NAMES).contains(&names.len()), "{} names: {names:?}", names.len());
    assert_eq!(modules, MODULES.map(str::to_owned).into());
    let (names, modules) = surface("pub use a::{b::C, d as E}; use f::G; pub mod h; #[doc(hidden)] pub mod i; mod j;");
    assert_eq!((names, modules), (["C", "E"].map(str::to_owned).into(), ["h"].map(str::to_owned).into()));
}

#[test]
fn documents_and_examples_name_nothing_of_the_engine_that_is_hidden() {
    let mut files = vec![root().join("README.md"), root().join("examples/shared/mod.rs")];
    for directory in ["docs", "docs/guide", "examples"] {
        let entries = fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "md" || end == "rs")));
    }
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(paths_through_modules(&text), [""; 0], "{}", file.display());
    }
    let text = "evenfold::log::append; evenfold::append(); evenfold::counters::Counters; evenfold::Schema::named;
        use evenfold::{Schema, event::NewEvent, append}; use other::{a::b};";
    assert_eq!(paths_through_modules(text), ["log", "event"]);
}
