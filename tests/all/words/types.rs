//! The names of types: each has one meaning in what is compiled as one.

use super::lexer::{Kind, Token};
use super::list::RARE_TYPES;
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, Meta};

/// A type that is defined, without those of tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) line: usize,
}

/// What a file defines, and which of its modules are tests, whose files are others.
pub(super) fn definitions(source: &str, tokens: &[Token<'_>]) -> (Vec<Definition>, BTreeSet<String>) {
    let mut visitor = Types::default();
    visitor.visit_file(&syn::parse_file(source).unwrap());
    let line = |name: &str| {
        let at = tokens.windows(2).find(|pair| is_keyword(&pair[0]) && pair[1].text == name);
        at.map_or(0, |pair| pair[1].line)
    };
    let definitions = visitor.names.into_iter().map(|name| Definition { line: line(&name), name }).collect();
    (definitions, visitor.test_modules)
}

fn is_keyword(token: &Token<'_>) -> bool {
    token.kind == Kind::Name && ["struct", "enum", "union", "trait", "type"].contains(&token.text)
}

#[derive(Default)]
struct Types {
    names: Vec<String>,
    test_modules: BTreeSet<String>,
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

impl<'ast> Visit<'ast> for Types {
    // Associated types are no items: only those are that have a name of their own.
    fn visit_item(&mut self, item: &'ast Item) {
        let named = match item {
            Item::Struct(item) => Some((&item.ident, &item.attrs)),
            Item::Enum(item) => Some((&item.ident, &item.attrs)),
            Item::Union(item) => Some((&item.ident, &item.attrs)),
            Item::Trait(item) => Some((&item.ident, &item.attrs)),
            Item::Type(item) => Some((&item.ident, &item.attrs)),
            _ => None,
        };
        if let Some((name, attributes)) = named
            && !is_for_tests(attributes)
        {
            self.names.push(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_for_tests(&module.attrs) {
            return visit::visit_item_mod(self, module);
        }
        if module.content.is_none() {
            self.test_modules.insert(module.ident.to_string());
        }
    }
}

/// A type with the unit that it is in, and its place.
pub(super) type Defined = (String, String, String);

/// What is wrong with the names of these types.
pub(super) fn homonyms(defined: &[Defined]) -> Vec<String> {
    let (mut in_unit, mut anywhere) = (BTreeMap::<_, Vec<&str>>::new(), BTreeMap::<_, Vec<&str>>::new());
    for (unit, name, place) in defined {
        in_unit.entry((unit, name)).or_default().push(place);
        if RARE_TYPES.contains(&&**name) {
            anywhere.entry(name).or_default().push(place);
        }
    }
    let twice = in_unit.into_iter().filter(|(_, places)| places.len() > 1).map(|((unit, name), places)| {
        format!("{}: {unit} has more than one type `{name}`: name each by what it is", places.join(", "))
    });
    let rare = anywhere.into_iter().filter(|(_, places)| places.len() > 1).map(|(name, places)| {
        format!(
            "{}: there is more than one type `{name}`, which says little: name each by what it is",
            places.join(", ")
        )
    });
    twice.chain(rare).collect()
}
