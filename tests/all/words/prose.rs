//! The forbidden words of prose: of comments and texts in Rust, and of all other files.

use super::Finding;
use super::lexer::{Kind, Token};
use super::list::IN_PROSE;

/// Prose that begins at this line.
pub(super) fn in_text(first: usize, text: &str) -> Vec<Finding> {
    let words = words(first, text);
    let mut found = Vec::new();
    for forbidden in &IN_PROSE {
        let hits = words
            .windows(forbidden.words.len())
            .filter(|hit| hit.iter().map(|word| &*word.1).eq(forbidden.words.iter().copied()));
        found.extend(hits.map(|hit| {
            let word = forbidden.words.join(" ");
            Finding { line: hit[0].0, sentence: format!("has the word {word:?}: say {}", forbidden.instead), word }
        }));
    }
    found
}

pub(super) fn in_rust(tokens: &[Token<'_>]) -> Vec<Finding> {
    let prose = tokens.iter().filter(|token| token.kind != Kind::Name);
    prose.flat_map(|token| in_text(token.line, &without_escapes(token))).collect()
}

/// An escape is no letter of the word behind it.
fn without_escapes(token: &Token<'_>) -> String {
    if token.kind == Kind::Comment {
        token.text.to_owned()
    } else {
        token.text.replace("\\n", " \u{20}").replace("\\t", "  ")
    }
}

/// In lower case, with their lines.
fn words(first: usize, text: &str) -> Vec<(usize, String)> {
    let lines = text.split('\n').zip(first..);
    let of = |(line, number): (&str, usize)| {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        words.map(|word| (number, word.to_lowercase())).collect::<Vec<_>>()
    };
    lines.flat_map(of).collect()
}
