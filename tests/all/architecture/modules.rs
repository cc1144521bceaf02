//! The modules of a package, and which file names what of which other.
//!
//! A module is a file. A file depends on the file that defines what it names, through however many `pub use` it is
//! named: a module that declares its children and hands on what they define depends on none of them. Methods are not
//! seen, since nothing names the file that an `impl` is in.

use super::source::{Binding, Path, Source};
use std::collections::{BTreeMap, BTreeSet};

/// Which file depends on which, and the names for it.
pub(super) type Edges = BTreeMap<(String, String), BTreeSet<String>>;

struct Module {
    file: String,
    parent: Option<usize>,
    source: Source,
}

/// What a path leads to: an item (by its name) in a module, or a module.
enum Target {
    Item(usize, String),
    Module(usize),
}

pub(super) struct Package {
    modules: Vec<Module>,
}

impl Package {
    /// Reads the modules that a root (`lib.rs`) leads to. `read` gives the text of a file, by its path below the root's
    /// directory.
    pub(super) fn read(root: &str, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut package = Self { modules: Vec::new() };
        let text = read(root).unwrap_or_else(|| panic!("there is no {root}"));
        package.add(root, "", None, &items(root, &text), read);
        package
    }

    /// Adds a module and those that it declares, which are in the directory.
    fn add(
        &mut self,
        file: &str,
        directory: &str,
        parent: Option<usize>,
        items: &[syn::Item],
        read: &dyn Fn(&str) -> Option<String>,
    ) -> usize {
        let id = self.modules.len();
        let mut source = Source::of(items);
        let declared = std::mem::take(&mut source.modules);
        self.modules.push(Module { file: file.to_owned(), parent, source });
        for (name, contained) in declared {
            let inside = format!("{directory}{name}/");
            let child = if let Some(items) = contained {
                self.add(file, &inside, Some(id), &items, read)
            } else {
                let files = [format!("{directory}{name}.rs"), format!("{inside}mod.rs")];
                let mut found = files.iter().filter_map(|file| Some((file, read(file)?)));
                let (at, text) = found.next().unwrap_or_else(|| panic!("{file} declares {name}, which is no file"));
                self.add(at, &inside, Some(id), &self::items(at, &text), read)
            };
            self.modules[id].source.scope.entry(name).or_default().push(Binding::Module(child));
        }
        id
    }

    pub(super) fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (id, module) in self.modules.iter().enumerate() {
            let own = module.source.named.iter().map(|path| (path, false));
            for (path, exported) in own.chain(module.source.exported.iter().map(|path| (path, true))) {
                for target in self.find(id, path) {
                    let Target::Item(target, name) = target else { continue };
                    let to = &self.modules[target].file;
                    if *to != module.file && !(exported && self.is_below(target, id)) {
                        edges.entry((module.file.clone(), to.clone())).or_default().insert(name);
                    }
                }
            }
        }
        edges
    }

    fn is_below(&self, module: usize, above: usize) -> bool {
        self.modules[module].parent.is_some_and(|parent| parent == above || self.is_below(parent, above))
    }

    /// What a path in a module leads to; nothing if it is another crate's or a local variable.
    fn find(&self, module: usize, path: &[String]) -> Vec<Target> {
        self.from(module, path, &mut BTreeSet::new())
    }

    /// As [`find`](Self::find); `seen` are the names that are being looked up, since imports may go round.
    fn from(&self, module: usize, path: &[String], seen: &mut BTreeSet<(usize, Path)>) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else { return vec![Target::Module(module)] };
        match first.as_str() {
            "crate" => self.from(0, rest, seen),
            "self" => self.from(module, rest, seen),
            "super" => self.modules[module].parent.map_or_else(Vec::new, |parent| self.from(parent, rest, seen)),
            _ => self.inside(module, path, seen),
        }
    }

    fn inside(&self, module: usize, path: &[String], seen: &mut BTreeSet<(usize, Path)>) -> Vec<Target> {
        let Some((name, rest)) = path.split_first() else { return vec![Target::Module(module)] };
        if !seen.insert((module, path.to_vec())) {
            return Vec::new();
        }
        let source = &self.modules[module].source;
        let mut found = Vec::new();
        for binding in source.scope.get(name).into_iter().flatten() {
            match binding {
                Binding::Item => found.push(Target::Item(module, name.clone())),
                Binding::Module(child) => found.extend(self.inside(*child, rest, seen)),
                Binding::Import(import) => found.extend(self.further(self.from(module, import, seen), rest, seen)),
            }
        }
        if found.is_empty() {
            for glob in &source.globs {
                for target in self.from(module, glob, seen) {
                    if let Target::Module(target) = target {
                        found.extend(self.inside(target, path, seen));
                    }
                }
            }
        }
        // Another file that names it here means what one of the macros makes of itself.
        if found.is_empty() && source.expands {
            found.push(Target::Item(module, name.clone()));
        }
        found
    }

    /// The rest of a path whose beginning leads to these. What is in an item (a variant, a function) is in its file.
    fn further(&self, found: Vec<Target>, rest: &[String], seen: &mut BTreeSet<(usize, Path)>) -> Vec<Target> {
        let further = found.into_iter().flat_map(|target| match target {
            Target::Module(module) => self.inside(module, rest, seen),
            item @ Target::Item(..) => vec![item],
        });
        further.collect()
    }
}

fn items(file: &str, text: &str) -> Vec<syn::Item> {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{file} is not Rust: {error}")).items
}
