//! The forbidden words of names, which are segments of them.

use super::Finding;
use super::lexer::{Kind, Token};
use super::list::{FIRST_IN_NAMES, Forbidden, IN_NAMES, LAST_IN_NAMES, VERBS_WITH_OVER};

pub(super) fn in_rust(tokens: &[Token<'_>]) -> Vec<Finding> {
    let names = tokens.iter().filter(|token| token.kind == Kind::Name);
    names.flat_map(|token| in_name(token.line, token.text)).collect()
}

/// The words of one name. That of a file has dots and slashes, too.
pub(super) fn in_name(line: usize, name: &str) -> Vec<Finding> {
    let segments = segments(name);
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    let mut find = |forbidden: &Forbidden, holds: bool| {
        if holds {
            let word = forbidden.words.join("_");
            let sentence = format!("has the name `{name}`, and `{word}` in it: say {}", forbidden.instead);
            found.push(Finding { line, sentence, word });
        }
    };
    for forbidden in &IN_NAMES {
        find(forbidden, segments.windows(forbidden.words.len()).any(|window| window == forbidden.words));
    }
    let verb = segments.len() > 1 && VERBS_WITH_OVER.contains(&segments[segments.len() - 2]);
    find(&LAST_IN_NAMES, segments.ends_with(LAST_IN_NAMES.words) && !verb);
    find(&FIRST_IN_NAMES, segments.len() > 2 && segments.starts_with(FIRST_IN_NAMES.words));
    found
}

/// In lower case: `is_told`, `IsTold` and `IS_TOLD` have the same.
fn segments(name: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut before = '_';
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let begins_word = before.is_uppercase() && letters.peek().is_some_and(|next| next.is_lowercase());
        if !letter.is_alphanumeric() || letter.is_uppercase() && (!before.is_uppercase() || begins_word) {
            segments.push(String::new());
        }
        if letter.is_alphanumeric() {
            segments.last_mut().unwrap().extend(letter.to_lowercase());
        }
        before = letter;
    }
    segments.retain(|segment| !segment.is_empty());
    segments
}

#[test]
fn a_name_has_segments_in_each_way_to_write_it() {
    for (name, expected) in [
        ("is_told", &["is", "told"][..]),
        ("IsTold", &["is", "told"]),
        ("IS_TOLD", &["is", "told"]),
        ("HTTPTold2", &["http", "told2"]),
        ("r", &["r"]),
    ] {
        assert_eq!(segments(name), expected, "{name}");
    }
}
