//! What is asked for and what comes back.

use super::{CacheError, Expiry, Value};
use std::time::Duration;

/// A value that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedValue {
    /// The value.
    pub value: Value,
    /// The version with which it was put. No other put or count, of any key, has the same.
    pub version: u64,
    /// How long it is still there; none if no time to live was given.
    pub expires_in: Option<Duration>,
}

/// What must hold for a change to be made. It is decided by the actor of the key's shard, one change after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// The key is absent (`If-None-Match: *`).
    IfAbsent,
    /// The key has this version (`If-Match: "v"`).
    IfVersion(u64),
    /// The key is there (`If-Match: *`).
    IfPresent,
}

impl Condition {
    /// Whether it holds for a key of this version, or an absent one.
    ///
    /// # Errors
    ///
    /// [`CacheError::Conflict`], if not.
    pub fn check(self, current: Option<u64>) -> Result<(), CacheError> {
        let holds = match self {
            Self::Always => true,
            Self::IfAbsent => current.is_none(),
            Self::IfVersion(version) => current == Some(version),
            Self::IfPresent => current.is_some(),
        };
        if holds { Ok(()) } else { Err(CacheError::Conflict { current }) }
    }
}

/// One put of many.
#[derive(Debug, Clone)]
pub struct Put {
    /// The key.
    pub key: String,
    /// Its new value.
    pub value: Value,
    /// How long it is there.
    pub expiry: Expiry,
    /// When to put it.
    pub condition: Condition,
}

/// A put that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The new version.
    pub version: u64,
    /// Whether the key was absent before.
    pub created: bool,
}

/// A count that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incremented {
    /// The sum.
    pub value: i64,
    /// The new version.
    pub version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_holds_or_returns_the_current_version() {
        let holding = [
            (Condition::Always, None),
            (Condition::Always, Some(3)),
            (Condition::IfAbsent, None),
            (Condition::IfVersion(3), Some(3)),
            (Condition::IfPresent, Some(3)),
        ];
        for (condition, current) in holding {
            assert_eq!(condition.check(current), Ok(()), "{condition:?} {current:?}");
        }
        let failing = [
            (Condition::IfAbsent, Some(3)),
            (Condition::IfVersion(2), Some(3)),
            (Condition::IfVersion(2), None),
            (Condition::IfPresent, None),
        ];
        for (condition, current) in failing {
            assert_eq!(condition.check(current), Err(CacheError::Conflict { current }), "{condition:?} {current:?}");
        }
    }
}
