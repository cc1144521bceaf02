//! The domain of the counter projection: what one event does to one counter.

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
    pub version: i64,
    /// The position of the last event.
    pub last_position: i64,
}

/// Why a counter can't take an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An event is missing before this one, or this one came before.
    #[error("version {found} follows version {last}: expected {}", last + 1)]
    Version {
        /// The counter's version.
        last: i64,
        /// The event's.
        found: i64,
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
    pub fn apply(self, version: i64, position: i64, amount: Result<i64, BadAmount>) -> Result<Self, Refused> {
        if version != self.version + 1 {
            return Err(Refused::Version { last: self.version, found: version });
        }
        let amount = amount?;
        let value = self.value.checked_add(amount).ok_or(Refused::Overflow { value: self.value, amount })?;
        Ok(Self { events: self.events + 1, value, version, last_position: position })
    }

    /// The counter after an event that was given up: only the version moves on, so that the next one fits.
    #[must_use]
    pub fn skip(self, version: i64) -> Self {
        Self { version: self.version.max(version), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_adds_what_fits_and_refuses_what_does_not() {
        let start = Counter::default();
        let one = start.apply(1, 10, Ok(5));
        assert_eq!(one, Ok(Counter { events: 1, value: 5, version: 1, last_position: 10 }));
        assert_eq!(start.apply(2, 10, Ok(5)), Err(Refused::Version { last: 0, found: 2 }));
        let full = Counter { value: i64::MAX, version: 1, ..start };
        assert_eq!(full.apply(2, 10, Ok(1)), Err(Refused::Overflow { value: i64::MAX, amount: 1 }));
        assert_eq!(full.apply(2, 10, Ok(-1)).map(|c| c.value), Ok(i64::MAX - 1));
        let bad = BadAmount::NotAnInteger("a string");
        assert_eq!(start.apply(1, 10, Err(bad.clone())), Err(Refused::Amount(bad)));
    }

    #[test]
    fn an_event_that_was_given_up_only_moves_the_version() {
        let counter = Counter { events: 3, value: 7, version: 3, last_position: 9 };
        assert_eq!(counter.skip(4), Counter { version: 4, ..counter });
    }
}
