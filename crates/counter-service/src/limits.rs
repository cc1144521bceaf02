//! What may be asked for: the same of a client, over HTTP, and of another node.

use super::id::CounterId;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// The most counters of the highest values that may be asked for.
pub const MAX_TOP: usize = 1_000;

/// The most counters that another node may name. It names the rows of the read model that it has read: as many as it
/// was asked for, and twice as many each time that so many counters have less by now that those it has not read can be
/// among the highest. The read model is behind by milliseconds, in which hardly any are decremented: the longest list
/// is doubled twice.
pub(super) const MAX_NAMED: usize = 4 * MAX_TOP;

/// Whether it may be added. An increment by 0 is none, and the log would keep it.
#[must_use]
pub fn is_amount(amount: i64) -> bool {
    amount != 0
}

/// Whether that many of the highest may be asked for.
#[must_use]
pub fn is_top(limit: usize) -> bool {
    (1..=MAX_TOP).contains(&limit)
}

/// The names in a question, if they are not too many: that is looked at before they are.
pub(super) fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<CounterId>, D::Error> {
    deserializer.deserialize_seq(Named)
}

struct Named;

impl<'de> Visitor<'de> for Named {
    type Value = Vec<CounterId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX_NAMED} names of counters")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Vec<CounterId>, A::Error> {
        if names.size_hint().is_none_or(|number| number > MAX_NAMED) {
            return Err(A::Error::custom("too many names of counters"));
        }
        let mut all = Vec::new();
        while let Some(name) = names.next_element()? {
            all.push(name);
        }
        Ok(all)
    }
}
