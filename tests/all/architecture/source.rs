//! What one source file declares, imports and names, read from its syntax.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility};

/// The segments of a path, `crate`, `self` and `super` among them.
pub(super) type Path = Vec<String>;

/// What a name in a module's scope stands for.
#[derive(Clone)]
pub(super) enum Binding {
    /// An item that is defined here.
    Item,
    /// A module that is declared here, by its number.
    Module(usize),
    /// An import.
    Import(Path),
}

/// A module as its source has it; what its paths lead to is known only when the whole package is read.
#[derive(Default)]
pub(super) struct Source {
    pub(super) scope: BTreeMap<String, Vec<Binding>>,
    /// Whether a macro may define names in it.
    pub(super) expands: bool,
    /// What is imported with `*`.
    pub(super) globs: Vec<Path>,
    /// The paths in the code, private imports among them.
    pub(super) named: Vec<Path>,
    /// What is handed on with `pub use`.
    pub(super) exported: Vec<Path>,
    /// The modules that it declares; the items of those that it also contains.
    pub(super) modules: Vec<(String, Option<Vec<Item>>)>,
}

impl Source {
    pub(super) fn of(items: &[Item]) -> Self {
        let mut source = Self::default();
        for item in items {
            source.visit_item(item);
        }
        source
    }

    fn define(&mut self, name: &syn::Ident, binding: Binding) {
        self.scope.entry(name.unraw().to_string()).or_default().push(binding);
    }

    fn import(&mut self, tree: &UseTree, mut prefix: Path, public: bool) {
        let (path, alias) = match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.unraw().to_string());
                return self.import(&path.tree, prefix, public);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, prefix.clone(), public));
            }
            UseTree::Glob(_) => return self.globs.push(prefix),
            UseTree::Name(name) if name.ident == "self" => (prefix.clone(), prefix.last().cloned()),
            UseTree::Name(name) => {
                let name = name.ident.unraw().to_string();
                prefix.push(name.clone());
                (prefix, Some(name))
            }
            UseTree::Rename(rename) => {
                prefix.push(rename.ident.unraw().to_string());
                (prefix, Some(rename.rename.unraw().to_string()))
            }
        };
        if public { &mut self.exported } else { &mut self.named }.push(path.clone());
        if let Some(alias) = alias.filter(|alias| alias != "_") {
            self.scope.entry(alias).or_default().push(Binding::Import(path));
        }
    }

    /// The paths in tokens that are no syntax yet: the arguments of macros and attributes, and bodies of macros.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let punct = |at: usize, is: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == is);
        let mut at = 0;
        while at < tokens.len() {
            let start = at;
            at += 1;
            let first = match &tokens[start] {
                TokenTree::Group(group) => {
                    self.scan(group.stream());
                    continue;
                }
                TokenTree::Ident(first) => first,
                _ => continue,
            };
            let mut path = vec![first.unraw().to_string()];
            while punct(at, ':') && punct(at + 1, ':') {
                let Some(TokenTree::Ident(next)) = tokens.get(at + 2) else { break };
                path.push(next.unraw().to_string());
                at += 3;
            }
            // A field (`.name`, `name: …`, `name = …`) and what another crate has (`::name`) are none of ours.
            let member = start > 0 && punct(start - 1, '.') && !(start > 1 && punct(start - 2, '.'));
            let foreign = start > 0 && punct(start - 1, ':');
            let field = path.len() == 1 && (punct(at, ':') || punct(at, '=') && !punct(at + 1, '='));
            if !(member || foreign || field) {
                self.named.push(path);
            }
        }
    }
}

/// `#[cfg(test)]`: no part of what the package is.
fn only_in_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        if only_in_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Const(item) => self.define(&item.ident, Binding::Item),
            Item::Enum(item) => self.define(&item.ident, Binding::Item),
            Item::Fn(item) => self.define(&item.sig.ident, Binding::Item),
            Item::Static(item) => self.define(&item.ident, Binding::Item),
            Item::Struct(item) => self.define(&item.ident, Binding::Item),
            Item::Trait(item) => self.define(&item.ident, Binding::Item),
            Item::Type(item) => self.define(&item.ident, Binding::Item),
            Item::Union(item) => self.define(&item.ident, Binding::Item),
            Item::Macro(item) => match &item.ident {
                Some(ident) => self.define(ident, Binding::Item),
                None => self.expands = true,
            },
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !only_in_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        // A file of another package, which knows none of this one's.
        if module.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            return;
        }
        let items = module.content.as_ref().map(|(_, items)| items.clone());
        self.modules.push((module.ident.unraw().to_string(), items));
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        if import.leading_colon.is_none() {
            self.import(&import.tree, Path::new(), !matches!(import.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.named.push(path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.scan(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }
}
