//! Which events a projection wants, by the definition that it was begun with: for whoever knows its name alone.

use crate::log::Interest;

/// The interest at the head of a definition, as [`Interest`] displays it. Every event where the definition has another
/// form: then no event is taken for one that is not wanted.
pub(super) fn interest_of(definition: &str) -> Interest {
    parse(definition).unwrap_or_default()
}

/// The log in a definition, if it is one that others write: what it is called, and its table. Settings that begin in
/// the same way can't be distinguished from it.
pub(super) fn log_in(definition: &str) -> Option<&str> {
    let (_, rest) = list(definition.strip_prefix("aggregate types: ")?)?;
    let (_, rest) = list(rest.strip_prefix("; event types: ")?)?;
    let log = rest.strip_prefix("; log: ")?;
    Some(log.split_once("; ").map_or(log, |(log, _)| log))
}

fn parse(definition: &str) -> Option<Interest> {
    let (aggregate_types, rest) = list(definition.strip_prefix("aggregate types: ")?)?;
    let (event_types, rest) = list(rest.strip_prefix("; event types: ")?)?;
    if !rest.is_empty() && !rest.starts_with("; ") {
        return None;
    }
    Some(Interest { aggregate_types, event_types, ..Interest::everything() })
}

/// `all`, or a list of strings as Rust displays it for debugging; and what comes after it.
fn list(text: &str) -> Option<(Option<Vec<String>>, &str)> {
    if let Some(rest) = text.strip_prefix("all") {
        return Some((None, rest));
    }
    let mut rest = text.strip_prefix('[')?;
    let mut types = Vec::new();
    while !rest.starts_with(']') {
        if !types.is_empty() {
            rest = rest.strip_prefix(", ")?;
        }
        let (one, after) = string(rest)?;
        types.push(one);
        rest = after;
    }
    Some((Some(types), &rest[1..]))
}

fn string(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut unescaped = String::new();
    loop {
        let next = rest.chars().next()?;
        rest = &rest[next.len_utf8()..];
        match next {
            '"' => return Some((unescaped, rest)),
            '\\' => {
                let (character, after) = escaped(rest)?;
                unescaped.push(character);
                rest = after;
            }
            other => unescaped.push(other),
        }
    }
}

/// What comes after a backslash.
fn escaped(text: &str) -> Option<(char, &str)> {
    if let Some(code) = text.strip_prefix("u{") {
        let (digits, rest) = code.split_once('}')?;
        return Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, rest));
    }
    let name = text.chars().next()?;
    let character = match name {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        '\\' | '"' | '\'' => name,
        _ => return None,
    };
    Some((character, &text[name.len_utf8()..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_definition_of_another_form_leaves_no_event_out() {
        for definition in [
            "",
            "amount: /amount",
            "aggregate types: [\"a\"",
            "aggregate types: [\"a\"]; event types: [\"b\\q\"]",
            "aggregate types: [\"a\"]; event types: all and more",
        ] {
            assert_eq!(interest_of(definition), Interest::everything(), "{definition}");
        }
    }

    proptest! {
        #[test]
        fn what_an_interest_displays_is_read_back_whatever_its_names_and_the_settings_are(
            aggregates in prop::option::of(prop::collection::vec(any::<String>(), 0..4)),
            events in prop::option::of(prop::collection::vec("[a-z\"\\\\;, \n\u{0}é]*", 0..4)),
            settings in ".*",
        ) {
            let mut interest = Interest::everything();
            if let Some(types) = aggregates {
                interest = interest.in_aggregates(types);
            }
            if let Some(types) = events {
                interest = interest.in_events(types);
            }
            prop_assert_eq!(interest_of(&interest.to_string()), interest.clone());
            prop_assert_eq!(interest_of(&format!("{interest}; {settings}")), interest);
        }
    }
}
