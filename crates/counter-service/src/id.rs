//! The names of counters.

use evenfold::event::MAX_ID_BYTES;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// The most bytes that a counter's name may have.
pub const MAX_COUNTER_ID: usize = 256;

const _: () = assert!(MAX_COUNTER_ID <= MAX_ID_BYTES);

/// The kind of aggregate that a counter is in the log.
pub(super) const AGGREGATE_TYPE: &str = "counter";

/// The name of a counter: 1 to 256 bytes of UTF-8 ([`MAX_COUNTER_ID`]), without control characters. It is the id of the
/// aggregate that the counter is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterId(Arc<str>);

/// A text that is no counter's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCounterId {
    /// It has no bytes, or too many.
    #[error("a counter's name has 1 to {MAX_COUNTER_ID} bytes, and this one has {0}")]
    Length(usize),
    /// It could not be distinguished from others where it is shown.
    #[error("a counter's name has no control characters, and this one has {0:?}")]
    Control(char),
}

impl CounterId {
    /// The counter of this name.
    ///
    /// # Errors
    ///
    /// See [`InvalidCounterId`].
    pub fn new(name: &str) -> Result<Self, InvalidCounterId> {
        if name.is_empty() || name.len() > MAX_COUNTER_ID {
            return Err(InvalidCounterId::Length(name.len()));
        }
        match name.chars().find(|c| c.is_control()) {
            Some(control) => Err(InvalidCounterId::Control(control)),
            None => Ok(Self(name.into())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for CounterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Another node's word is checked like a client's.
impl<'de> Deserialize<'de> for CounterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <&str>::deserialize(deserializer)?;
        Self::new(name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_can_be_shown() {
        for good in ["a", "ä/b c", &"x".repeat(MAX_COUNTER_ID)] {
            assert_eq!(CounterId::new(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", InvalidCounterId::Length(0)),
            (&*"x".repeat(MAX_COUNTER_ID + 1), InvalidCounterId::Length(MAX_COUNTER_ID + 1)),
            ("a\0", InvalidCounterId::Control('\0')),
            ("a\nb", InvalidCounterId::Control('\n')),
            ("a\u{85}", InvalidCounterId::Control('\u{85}')),
        ] {
            assert_eq!(CounterId::new(bad), Err(why));
        }
    }
}
