//! The check is right about small packages.

use super::circles::circles;
use super::modules::{Edges, Package};

fn edges(files: &[(&str, &str)]) -> Edges {
    let read = |file: &str| files.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned());
    Package::read("lib.rs", &read).edges()
}

/// Which file depends on which, as `a → b`.
fn steps(files: &[(&str, &str)]) -> Vec<String> {
    edges(files).keys().map(|(from, to)| format!("{from} → {to}")).collect()
}

fn knots(files: &[(&str, &str)]) -> Vec<String> {
    circles(&edges(files)).iter().map(|circle| circle.lines().next().unwrap().to_owned()).collect()
}

const ROOT: (&str, &str) = ("lib.rs", "mod a; mod b; mod c;");

#[test]
fn a_circle_is_seen_and_named_in_full() {
    let files = [
        ROOT,
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B; fn f() { super::c::f() }"),
        ("c.rs", "pub fn f() { let _ = [crate::a::A]; }"),
    ];
    assert_eq!(knots(&files), ["a → b → c → a"]);
    let text = circles(&edges(&files)).into_iter().next().unwrap();
    assert!(text.contains("a.rs names B of b.rs") && text.contains("c.rs names A of a.rs"), "{text}");
    assert!(knots(&[ROOT, files[1], files[2], ("c.rs", "pub fn f() {}")]).is_empty());
}

#[test]
fn a_circle_through_a_reexport_is_one_of_the_files_that_define() {
    let parent = ("a/mod.rs", "mod x; mod y; pub use x::X; pub use self::y::{Y as Z};");
    let child = |x: &'static str, y: &'static str| {
        let lib = ("lib.rs", "mod a; pub use a::*;");
        [lib, parent, ("a/x.rs", x), ("a/y.rs", y)]
    };
    let knot = child("use super::Z; pub struct X;", "use crate::X; pub struct Y;");
    assert_eq!(knots(&knot), ["a/x → a/y → a/x"]);
    let sibling = child("pub struct X;", "use super::X; pub struct Y;");
    assert_eq!(steps(&sibling), ["a/y.rs → a/x.rs"], "on the sibling, and not on the parent");
}

#[test]
fn what_a_parent_defines_and_its_child_names_is_a_circle_if_the_parent_names_the_child() {
    let child = ("a/x.rs", "pub struct X(super::A);");
    let hands_on = [("lib.rs", "mod a;"), ("a.rs", "mod x; pub use x::X; pub struct A;"), child];
    assert!(knots(&hands_on).is_empty());
    let names = [("lib.rs", "mod a;"), ("a.rs", "mod x; pub use x::X; pub struct A; fn f(_: X) {}"), child];
    assert_eq!(knots(&names), ["a.rs → a/x → a.rs"]);
}

#[test]
fn rooms_are_a_circle_even_where_their_files_are_none() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "pub mod x; pub mod y;"),
        ("a/x.rs", "use crate::b::B;"),
        ("a/y.rs", "pub struct Y;"),
        ("b.rs", "pub struct B(crate::a::y::Y);"),
    ];
    assert_eq!(steps(&files), ["a/x.rs → b.rs", "b.rs → a/y.rs"]);
    assert_eq!(knots(&files), ["a → b → a"]);
}

#[test]
fn a_name_that_a_macro_defines_is_one_of_its_file() {
    let files = [ROOT, ("a.rs", "use crate::b::B;"), ("b.rs", "macro_rules! m { () => {} } m! { B }"), ("c.rs", "")];
    assert_eq!(steps(&files), ["a.rs → b.rs"]);
}

#[test]
fn a_name_is_found_wherever_it_stands() {
    let named = |text: &'static str| {
        let files =
            [ROOT, ("a.rs", text), ("b.rs", "pub struct B; pub fn f() {} pub mod m { pub fn g() {} }"), ("c.rs", "")];
        !steps(&files).is_empty()
    };
    for text in [
        "use crate::{b::{self, m as n}}; fn f() { n::g() }",
        "use crate::b::*; fn f(_: Option<B>) {}",
        "use super::b; fn f() { b::f() }",
        "fn f() { use crate::b::B; }",
        "fn f() { assert_eq!(vec![crate::b::f()], vec![]) }",
        "macro_rules! m { () => { $crate::b::f() } }",
        "#[derive(X)] #[x(y = crate::b::B)] struct A;",
        "impl From<crate::b::B> for () {}",
        "pub use crate::b::B;",
        "use crate::b::m; mod inside { use super::m::g; }",
    ] {
        assert!(named(text), "{text}");
    }
    for text in [
        "use crate::b; fn f() { let f = 1; f }",
        "// crate::b::f()\nfn f() { \"crate::b::f()\" }",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] use crate::b::B;",
        "fn f() { x.b::<u8>(); ::b::f(); other::B }",
    ] {
        assert!(!named(text), "{text}");
    }
}
