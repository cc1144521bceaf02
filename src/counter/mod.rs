//! The domain of the counter projection: what one event does to one counter.

use crate::number::{Position, Version};

mod amount;
mod pointer;

pub use amount::BadAmount;
pub use pointer::{AmountPointer, BadPointer};

/// One aggregate's state: how many events it had, and the sum of their amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counter {
    /// How many events were applied.
    pub events: i64,
    /// The sum of their amounts.
    pub value: i64,
    /// The version of the last event.
    pub version: Version,
    /// The position of the last event.
    pub last_position: Position,
}

/// Why a counter can't take an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An event is missing before this one, or this one came before.
    #[error("version {found} follows version {last}: expected {}", last.next())]
    Version {
        /// The counter's version.
        last: Version,
        /// The event's.
        found: Version,
    },
    /// The sum does not fit into 64 bits.
    #[error("the value {value} plus {amount} does not fit into 64 bits")]
    Overflow {
        /// The counter's value.
        value: i64,
        /// The event's amount.
        amount: i64,
    },
    /// The event's amount is not an integer of 64 bits.
    #[error(transparent)]
    Amount(#[from] BadAmount),
}

impl Counter {
    /// The counter after one more event.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn apply(self, version: Version, position: Position, amount: Result<i64, BadAmount>) -> Result<Self, Refused> {
        if version != self.version.next() {
            return Err(Refused::Version { last: self.version, found: version });
        }
        let amount = amount?;
        let value = self.value.checked_add(amount).ok_or(Refused::Overflow { value: self.value, amount })?;
        Ok(Self { events: self.events + 1, value, version, last_position: position })
    }

    /// The counter after an event that was dropped: only the version moves on, so that the next one fits.
    #[must_use]
    pub fn skip(self, version: Version) -> Self {
        Self { version: self.version.max(version), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_adds_what_fits_and_refuses_what_does_not() {
        let start = Counter::default();
        let one = start.apply(Version::new(1), Position::new(10), Ok(5));
        assert_eq!(
            one,
            Ok(Counter { events: 1, value: 5, version: Version::new(1), last_position: Position::new(10) })
        );
        assert_eq!(
            start.apply(Version::new(2), Position::new(10), Ok(5)),
            Err(Refused::Version { last: Version::new(0), found: Version::new(2) })
        );
        let full = Counter { value: i64::MAX, version: Version::new(1), ..start };
        assert_eq!(
            full.apply(Version::new(2), Position::new(10), Ok(1)),
            Err(Refused::Overflow { value: i64::MAX, amount: 1 })
        );
        assert_eq!(full.apply(Version::new(2), Position::new(10), Ok(-1)).map(|c| c.value), Ok(i64::MAX - 1));
        let bad = BadAmount::NotAnInteger("a string");
        assert_eq!(start.apply(Version::new(1), Position::new(10), Err(bad.clone())), Err(Refused::Amount(bad)));
    }

    #[test]
    fn a_dropped_event_only_moves_the_version() {
        let counter = Counter { events: 3, value: 7, version: Version::new(3), last_position: Position::new(9) };
        assert_eq!(counter.skip(Version::new(4)), Counter { version: Version::new(4), ..counter });
    }
}
