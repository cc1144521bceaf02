//! The comments of a file that are headings.

use crate::lexer::{Kind, Token};

/// A section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Create,
    Apply,
    EachEvent,
}

/// Which of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Events,
    Aggregates,
}

/// What a comment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heading<'a> {
    Section(Section),
    List(Key, &'a str),
    /// Something with the form of a list, but for its name.
    Unknown(&'a str),
}

/// Words that are followed by a colon at the beginning of a comment, and begin no list, as everybody can see.
const FREE: [&str; 6] = ["Note", "NOTE", "TODO", "FIXME", "See", "Example"];

impl Section {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Create => "-- create",
            Self::Apply => "-- apply",
            Self::EachEvent => "-- each event",
        }
    }
}

/// The heading that this comment is, if it is one: only one in a line of its own can be. A comment that has the form of
/// a list is one in front of the first section only, so that a section may have comments of any kind.
pub(crate) fn heading<'a>(token: &Token<'a>, own_line: bool, in_section: bool) -> Option<Heading<'a>> {
    let comment = token.text.strip_prefix("--").filter(|_| token.kind == Kind::Line && own_line)?.trim();
    for section in [Section::Create, Section::Apply, Section::EachEvent] {
        if section.heading().strip_prefix("--").map(str::trim) == Some(comment) {
            return Some(Heading::Section(section));
        }
    }
    let (name, values) = comment.split_once(':')?;
    match name.trim_end() {
        "events" => Some(Heading::List(Key::Events, values)),
        "aggregates" => Some(Heading::List(Key::Aggregates, values)),
        other if !in_section && is_name(other) && !FREE.contains(&other) => Some(Heading::Unknown(other)),
        _ => None,
    }
}

/// One word or two: a sentence has more before its colon, or something else.
fn is_name(text: &str) -> bool {
    let is_word =
        |word: &str| word.starts_with(char::is_alphabetic) && word.chars().all(|c| c.is_alphabetic() || c == '-');
    text.split(' ').count() <= 2 && text.split(' ').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::tokens;

    fn of(comment: &str, in_section: bool) -> Option<Heading<'_>> {
        heading(&tokens(comment).unwrap()[0], true, in_section)
    }

    #[test]
    fn only_what_is_known_is_a_heading_and_what_looks_like_one_is_no_comment() {
        assert_eq!(of("-- create", false), Some(Heading::Section(Section::Create)));
        assert_eq!(of("--apply  ", true), Some(Heading::Section(Section::Apply)));
        assert_eq!(of("-- events: a, b", false), Some(Heading::List(Key::Events, " a, b")));
        assert_eq!(of("-- events : a", true), Some(Heading::List(Key::Events, " a")));
        for (typo, name) in [("-- event: a", "event"), ("--Events: a", "Events"), ("-- event types: a", "event types")]
        {
            assert_eq!(of(typo, false), Some(Heading::Unknown(name)));
            assert_eq!(of(typo, true), None);
        }
        for comment in [
            "-- What each customer paid.",
            "-- order_status.sql: the state of each order",
            "-- the state that each order is in: its last event says",
            "-- Note: this is one",
            "-- create the table",
            "-- at 12:30",
            "-- order_status: the state of each order",
            "-- -- events: a",
        ] {
            assert_eq!(of(comment, false), None, "{comment}");
        }
        assert_eq!(heading(&tokens("-- create").unwrap()[0], false, false), None, "behind a statement");
    }
}
