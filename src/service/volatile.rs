//! The counters of a shard that keeps them in memory only.

use super::command::{Command, Counted, Outcome, What};
use super::error::ServiceError;
use super::id::CounterId;
use hashbrown::HashMap;

/// All counters of a shard. None is ever forgotten: that would be losing what was counted.
#[derive(Debug)]
pub(super) struct Volatile {
    counters: HashMap<CounterId, Counted, foldhash::fast::RandomState>,
    limit: usize,
}

impl Volatile {
    pub(super) fn new(limit: usize) -> Self {
        Self { counters: HashMap::default(), limit }
    }

    pub(super) fn handle(&mut self, command: &Command) -> Outcome {
        let known = self.counters.get_mut(&command.id);
        let What::Increment { amount, .. } = command.what else {
            return Ok(known.map_or_else(Counted::default, |counted| *counted));
        };
        if let Some(counted) = known {
            *counted = counted.plus(amount)?;
            return Ok(*counted);
        }
        if self.counters.len() >= self.limit {
            return Err(ServiceError::Full.into());
        }
        let counted = Counted::default().plus(amount)?;
        self.counters.insert(command.id.clone(), counted);
        Ok(counted)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&CounterId, &Counted)> {
        self.counters.iter()
    }
}

impl Counted {
    /// After one more increment.
    pub(super) fn plus(self, amount: i64) -> Result<Self, ServiceError> {
        let overflow = ServiceError::Overflow { value: self.value, amount };
        let value = self.value.checked_add(amount).ok_or(overflow)?;
        Ok(Self { value, version: self.version + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::command::Refused;
    use uuid::Uuid;

    fn increment(id: &str, amount: i64) -> Command {
        let what = What::Increment { amount, event_id: Uuid::nil(), again: false };
        Command { id: CounterId::new(id).unwrap(), what }
    }

    fn read(id: &str) -> Command {
        Command { id: CounterId::new(id).unwrap(), what: What::Read }
    }

    #[test]
    fn a_full_shard_refuses_new_counters_and_forgets_none() {
        let mut shard = Volatile::new(2);
        for id in ["a", "b", "a"] {
            assert!(shard.handle(&increment(id, 5)).is_ok());
        }
        assert_eq!(shard.handle(&increment("c", 5)), Err(Refused::Error(ServiceError::Full)));
        assert_eq!(shard.handle(&read("a")), Ok(Counted { value: 10, version: 2 }));
        assert_eq!(shard.handle(&read("c")), Ok(Counted::default()));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut shard = Volatile::new(2);
        assert!(shard.handle(&increment("a", i64::MAX)).is_ok());
        let overflow = ServiceError::Overflow { value: i64::MAX, amount: 1 };
        assert_eq!(shard.handle(&increment("a", 1)), Err(overflow.into()));
        assert_eq!(shard.handle(&read("a")), Ok(Counted { value: i64::MAX, version: 1 }));
    }
}
