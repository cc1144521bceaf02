//! The counters of a shard that keeps them in memory only.

use super::changes::publish;
use super::command::{Call, Command, CounterValue, Outcome, Refused, What};
use super::error::ServiceError;
use super::id::CounterId;
use super::meters::Meters;
use super::question::CounterItems;
use evenfold::counters::Changes;
use evenfold_cluster::sharding::{Giving, Ownership, Part, Released};
use evenfold_groups::process::Group;
use hashbrown::HashMap;
use std::sync::Arc;

/// How many bytes are handed over at once, about: of so many shards at a time that all their parts fit into one frame.
const PART: usize = 12_000;

/// What a counter takes of that in addition to its name, at most.
const NUMBERS: usize = 22;

/// All counters of a shard. None is ever forgotten: that would be losing what was counted.
pub(super) struct Volatile {
    shard: u32,
    ownership: Arc<Ownership>,
    counters: CounterMap,
    giving: Giving<(CounterId, CounterValue)>,
    limit: usize,
    changes: Group<Arc<Changes>>,
    pub(super) meters: Arc<Meters>,
}

type CounterMap = HashMap<CounterId, CounterValue, foldhash::fast::RandomState>;

impl Volatile {
    /// No counters yet, and never more than the limit. The members of the group are notified of each change.
    pub(super) fn new(
        shard: u32,
        limit: usize,
        ownership: Arc<Ownership>,
        changes: Group<Arc<Changes>>,
        meters: Arc<Meters>,
    ) -> Self {
        Self { shard, ownership, counters: HashMap::default(), giving: Giving::default(), limit, changes, meters }
    }

    pub(super) fn call(&mut self, call: Call) {
        // Looked at here, where messages have an order: what is counted after the counters were handed over would be
        // lost.
        let outcome = if self.ownership.owns(self.shard) { self.handle(&call.command) } else { Err(Refused::NotOwner) };
        publish(&self.changes, std::iter::once((&call, &outcome)));
        self.meters.answered(&call);
        self.count();
        call.answer(outcome);
    }

    fn handle(&mut self, command: &Command) -> Outcome {
        let known = self.counters.get_mut(&command.id);
        let What::Increment { amount, .. } = command.what else {
            return Ok(known.map_or_else(CounterValue::default, |counted| *counted));
        };
        if let Some(counted) = known {
            *counted = counted.plus(amount)?;
            return Ok(*counted);
        }
        if self.counters.len() >= self.limit {
            return Err(ServiceError::Full.into());
        }
        let counted = CounterValue::default().plus(amount)?;
        self.counters.insert(command.id.clone(), counted);
        Ok(counted)
    }

    /// Hands over a part of its counters: the next one, or the last one again.
    pub(super) fn release(&mut self, part: Part) -> Released<CounterItems> {
        let counters = &mut self.counters;
        let released = self.giving.release(&self.ownership, self.shard, part, |back| {
            add(counters, back);
            extract(counters)
        });
        self.count();
        released
    }

    /// The shard is to be this node's, with all that it has.
    pub(super) fn begin(&mut self) {
        let back = self.giving.take_back();
        self.take(back);
    }

    /// Takes over counters.
    pub(super) fn take(&mut self, counters: CounterItems) {
        add(&mut self.counters, counters);
        self.count();
    }

    fn count(&self) {
        self.meters.counters(self.shard, self.counters.len() + self.giving.items().len());
    }

    pub(super) fn counters(&self) -> impl Iterator<Item = (CounterId, CounterValue)> {
        let given = self.giving.items().iter().cloned();
        self.counters.iter().map(|(id, counted)| (id.clone(), *counted)).chain(given)
    }
}

/// Takes the next part out.
fn extract(counters: &mut CounterMap) -> CounterItems {
    let (mut part, mut bytes) = (Vec::new(), 0);
    for (id, counted) in counters.extract_if(|_, _| true) {
        bytes += id.as_str().len() + NUMBERS;
        part.push((id, counted));
        if bytes >= PART {
            break;
        }
    }
    part
}

/// Adds what was taken over. Of a counter that is there already too, both have been counting for a while: what they
/// counted is added.
fn add(counters: &mut CounterMap, more: CounterItems) {
    for (id, more) in more {
        let counted = counters.entry(id).or_default();
        counted.value = counted.value.saturating_add(more.value);
        counted.version = counted.version.saturating_add(more.version);
    }
}

impl CounterValue {
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
    use crate::changes::changes_group;
    use evenfold_cluster::sharding::Claimed;
    use evenfold_groups::ProcessGroups;
    use uuid::Uuid;

    fn shard_of(limit: usize) -> Volatile {
        let ownership = Arc::new(Ownership::new(1, true));
        Volatile::new(0, limit, ownership, changes_group(&ProcessGroups::default()).unwrap(), Arc::default())
    }

    fn increment(id: &str, amount: i64) -> Command {
        let what = What::Increment { amount, event_id: Uuid::nil(), again: false, traceparent: None };
        Command { id: CounterId::new(id).unwrap(), what }
    }

    fn read(id: &str) -> Command {
        Command { id: CounterId::new(id).unwrap(), what: What::Read }
    }

    #[test]
    fn a_full_shard_refuses_new_counters_and_forgets_none() {
        let mut shard = shard_of(2);
        for id in ["a", "b", "a"] {
            assert!(shard.handle(&increment(id, 5)).is_ok());
        }
        assert_eq!(shard.handle(&increment("c", 5)), Err(Refused::Error(ServiceError::Full)));
        assert_eq!(shard.handle(&read("a")), Ok(CounterValue { value: 10, version: 2 }));
        assert_eq!(shard.handle(&read("c")), Ok(CounterValue::default()));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut shard = shard_of(2);
        assert!(shard.handle(&increment("a", i64::MAX)).is_ok());
        let overflow = ServiceError::Overflow { value: i64::MAX, amount: 1 };
        assert_eq!(shard.handle(&increment("a", 1)), Err(overflow.into()));
        assert_eq!(shard.handle(&read("a")), Ok(CounterValue { value: i64::MAX, version: 1 }));
    }

    /// One that has as many counters as make three parts, of which another node may take the holding of this number
    /// over.
    fn lost_shard() -> (Volatile, u64) {
        let mut shard = shard_of(10_000);
        for name in 0..(2 * PART / (NUMBERS + 4) + 100) {
            shard.handle(&increment(&format!("{name:04}"), 1)).unwrap();
        }
        shard.ownership.lose(0);
        let claimed = shard.ownership.answer_claim(&[0]);
        let Some(&[Claimed::Holds(number)]) = claimed.as_deref() else { panic!("it has counters") };
        (shard, number)
    }

    fn given(shard: &mut Volatile, part: Part) -> CounterItems {
        match shard.release(part) {
            Released::Part(counters) => counters,
            other => panic!("{other:?}"),
        }
    }

    fn listed(shard: &Volatile) -> Vec<(CounterId, CounterValue)> {
        let mut all: Vec<_> = shard.counters().collect();
        all.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        all
    }

    #[test]
    fn counters_are_listed_until_their_part_is_acknowledged_and_are_in_one_part_each() {
        let (mut shard, holding) = lost_shard();
        let (all, mut taken) = (listed(&shard), shard_of(10_000));
        for number in 0..3 {
            let counters = given(&mut shard, Part { holding, taking: 7, number });
            assert_eq!(shard.counters().count() + taken.counters().count(), all.len());
            taken.take(counters);
        }
        assert_eq!(shard.release(Part { holding, taking: 7, number: 3 }), Released::Done);
        assert_eq!((shard.counters().count(), shard.ownership.holdings()), (0, 0));
        assert_eq!(listed(&taken), all);
    }

    #[test]
    fn counters_whose_part_was_not_acknowledged_are_put_back_as_they_were() {
        let (mut shard, holding) = lost_shard();
        let all = listed(&shard);
        let first = given(&mut shard, Part { holding, taking: 7, number: 0 });
        assert_eq!(shard.counters.len() + first.len(), all.len());
        // Another node takes the shard over, and then this one is to own it again.
        given(&mut shard, Part { holding, taking: 8, number: 0 });
        assert_eq!(listed(&shard), all);
        shard.begin();
        assert_eq!((listed(&shard), shard.counters.len()), (all.clone(), all.len()));
    }
}
