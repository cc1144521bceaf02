//! Where in a payload the amount is.

use std::fmt;
use std::str::FromStr;

/// The most parts of a pointer: both parsers go down one level for each.
const MAX_PARTS: usize = 64;

/// A text that is not a JSON pointer, or none that PostgreSQL reads in the same way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPointer {
    /// Not in the form of RFC 6901.
    #[error(
        "{0:?} is not a JSON pointer: start each part with a slash, as in /amount, and write ~0 for ~ and ~1 for /"
    )]
    Form(String),
    /// A part that is a number for PostgreSQL, which would count it from an array's end or without its zeros, and none
    /// for RFC 6901.
    #[error("{0:?} in the JSON pointer is no number of an element: write it without sign, spaces and leading zeros")]
    Index(String),
    /// The character NUL, which no key can have.
    #[error("the JSON pointer has the character NUL: leave it out")]
    Nul,
    /// More parts than 64.
    #[error("the JSON pointer has {0} parts: {MAX_PARTS} are the most")]
    TooLong(usize),
}

/// Which part of a payload is the amount: a JSON pointer (RFC 6901), such as `/amount` or `/lines/0/quantity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmountPointer {
    parts: Vec<String>,
}

impl AmountPointer {
    /// The parts of the pointer, unescaped.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.parts
    }
}

impl Default for AmountPointer {
    /// `/amount`
    fn default() -> Self {
        Self { parts: vec!["amount".to_owned()] }
    }
}

impl FromStr for AmountPointer {
    type Err = BadPointer;

    fn from_str(text: &str) -> Result<Self, BadPointer> {
        let bad = || BadPointer::Form(text.to_owned());
        let mut parts = text.split('/');
        // The part before the first slash must be empty; the empty pointer is the whole payload.
        if parts.next() != Some("") {
            return Err(bad());
        }
        let unescape = |part: &str| {
            let valid = part.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
            valid.then(|| part.replace("~1", "/").replace("~0", "~")).ok_or_else(bad)
        };
        let parts: Vec<String> = parts.map(unescape).collect::<Result<_, _>>()?;
        if text.contains('\0') {
            return Err(BadPointer::Nul);
        }
        if parts.len() > MAX_PARTS {
            return Err(BadPointer::TooLong(parts.len()));
        }
        match parts.iter().find(|part| only_postgres_counts_by(part)) {
            Some(part) => Err(BadPointer::Index(part.clone())),
            None => Ok(Self { parts }),
        }
    }
}

/// Whether PostgreSQL takes a part for the number of an element, which it reads by `strtol`, and RFC 6901 does not.
fn only_postgres_counts_by(part: &str) -> bool {
    let number = part.trim_start_matches(['\t', '\n', '\x0b', '\x0c', '\r', ' ']);
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number && element(part).is_none()
}

/// The number of an element: digits without leading zeros.
pub(super) fn element(part: &str) -> Option<&str> {
    let digits = !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
    (digits && (part == "0" || !part.starts_with('0'))).then_some(part)
}

impl fmt::Display for AmountPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| write!(f, "/{}", part.replace('~', "~0").replace('/', "~1")))
    }
}

#[cfg(test)]
impl AmountPointer {
    pub(super) fn of(parts: Vec<String>) -> Self {
        Self { parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_that_postgresql_reads_in_another_way_or_not_at_all_is_refused() {
        for text in ["amount", "/a~2", "/a~", "/a/-1", "/01", "/+1", "/a/ 1", "/a/\t-0", "/\0", &"/a".repeat(65)] {
            assert!(text.parse::<AmountPointer>().is_err(), "{text}");
        }
        for text in ["", "/", "/-", "/1a", "/0", "/10", "/a/1 ", "/--1", "/é"] {
            assert!(text.parse::<AmountPointer>().is_ok(), "{text}");
        }
    }
}
