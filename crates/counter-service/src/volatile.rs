//! The counters of a shard that keeps them in memory only.

use super::changes::publish;
use super::command::{Call, Command, CounterValue, Outcome, Refused, What};
use super::error::ServiceError;
use super::id::CounterId;
use super::meters::Meters;
use super::ownership::{Holding, Ownership};
use super::question::{Part, Released};
use evenfold::counters::Changes;
use evenfold_groups::process::Group;
use hashbrown::HashMap;
use std::sync::Arc;

/// How many bytes are handed over at once, about: so many shards are taken over at a time that all their parts fit into
/// one frame.
const PART: usize = 12_000;

/// What a counter takes of that in addition to its name, at most.
const NUMBERS: usize = 22;

/// All counters of a shard. None is ever forgotten: that would be losing what was counted.
pub(super) struct Volatile {
    shard: u32,
    ownership: Arc<Ownership>,
    counters: HashMap<CounterId, CounterValue, foldhash::fast::RandomState>,
    /// The part that was handed over last, until it is acknowledged: the answer may have been lost.
    parted: Option<Parted>,
    limit: usize,
    changes: Group<Arc<Changes>>,
    pub(super) meters: Arc<Meters>,
}

/// A part of the counters that another node was given, and may have by now.
struct Parted {
    part: Part,
    counters: Vec<(CounterId, CounterValue)>,
}

impl Volatile {
    /// No counters yet, and never more than the limit. The members of the group are notified of each change.
    pub(super) fn new(
        shard: u32,
        limit: usize,
        ownership: Arc<Ownership>,
        changes: Group<Arc<Changes>>,
        meters: Arc<Meters>,
    ) -> Self {
        Self { shard, ownership, counters: HashMap::default(), parted: None, limit, changes, meters }
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

    /// Hands over a part of its counters: the next one, where the last one is acknowledged by that, or the last one
    /// again.
    pub(super) fn release(&mut self, part: Part) -> Released {
        match self.ownership.holding(self.shard, part.holding) {
            Holding::This => {}
            Holding::Nothing => return Released::Done,
            Holding::Other => return Released::Refused,
        }
        match &self.parted {
            Some(last) if last.part == part => return Released::Part(last.counters.clone()),
            Some(last) if last.part.taking != part.taking && part.number == 0 => self.put_back(),
            Some(last) if last.part == (Part { number: part.number.wrapping_sub(1), ..part }) => self.parted = None,
            None if part.number == 0 => {}
            // A question that was late: nobody waits for its answer.
            _ => return Released::Refused,
        }
        let counters = self.extract();
        self.count();
        if counters.is_empty() {
            self.ownership.handed_off(self.shard, part.holding);
            return Released::Done;
        }
        self.ownership.progressed();
        self.parted = Some(Parted { part, counters: counters.clone() });
        Released::Part(counters)
    }

    fn extract(&mut self) -> Vec<(CounterId, CounterValue)> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        for (id, counted) in self.counters.extract_if(|_, _| true) {
            bytes += id.as_str().len() + NUMBERS;
            part.push((id, counted));
            if bytes >= PART {
                break;
            }
        }
        part
    }

    /// Whoever was given the last part is dead, or has begun anew.
    fn put_back(&mut self) {
        if let Some(parted) = self.parted.take() {
            self.take(parted.counters);
        }
    }

    /// The shard is to be this node's, with all that it has.
    pub(super) fn begin(&mut self) {
        self.put_back();
    }

    /// Takes over counters. Of one that is there already too, both have been counting for a while: what they counted is
    /// added.
    pub(super) fn take(&mut self, counters: Vec<(CounterId, CounterValue)>) {
        for (id, more) in counters {
            let counted = self.counters.entry(id).or_default();
            counted.value = counted.value.saturating_add(more.value);
            counted.version = counted.version.saturating_add(more.version);
        }
        self.count();
    }

    fn count(&self) {
        let parted = self.parted.as_ref().map_or(0, |parted| parted.counters.len());
        self.meters.counters(self.shard, self.counters.len() + parted);
    }

    pub(super) fn counters(&self) -> impl Iterator<Item = (CounterId, CounterValue)> {
        let parted = self.parted.iter().flat_map(|parted| parted.counters.iter().cloned());
        self.counters.iter().map(|(id, counted)| (id.clone(), *counted)).chain(parted)
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
    use super::super::question::Claimed;
    use super::*;
    use crate::changes::changes_group;
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
        let Claimed::Holds(number) = shard.ownership.claimed(0) else { panic!("it has counters") };
        (shard, number)
    }

    fn part(holding: u64, taking: u64, number: u64) -> Part {
        Part { holding, taking, number }
    }

    fn given(shard: &mut Volatile, part: Part) -> Vec<(CounterId, CounterValue)> {
        match shard.release(part) {
            Released::Part(counters) => counters,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_part_is_given_again_until_the_next_one_is_asked_for_and_the_last_one_leaves_nothing() {
        let (mut shard, holding) = lost_shard();
        let (count, mut taken) = (shard.counters().count(), 0);
        for number in 0..3 {
            let counters = given(&mut shard, part(holding, 7, number));
            assert_eq!(given(&mut shard, part(holding, 7, number)), counters, "its answer was lost");
            taken += counters.len();
        }
        assert_eq!(taken, count);
        assert_eq!(shard.ownership.holdings(), 1, "it has the last part yet");
        for _ in 0..2 {
            assert_eq!(shard.release(part(holding, 7, 3)), Released::Done);
            assert_eq!((shard.ownership.holdings(), shard.counters().count()), (0, 0));
        }
    }

    #[test]
    fn a_late_question_takes_nothing() {
        let (mut shard, holding) = lost_shard();
        let count = shard.counters().count();
        given(&mut shard, part(holding, 7, 0));
        let second = given(&mut shard, part(holding, 7, 1));
        for late in [part(holding, 7, 0), part(holding, 7, 3), part(holding, 8, 1), part(holding - 1, 7, 2)] {
            assert_eq!(shard.release(late), Released::Refused, "{late:?}");
        }
        assert_eq!(given(&mut shard, part(holding, 7, 1)), second);
        // It owns the shard again, and loses it again.
        assert!(shard.ownership.claim(0) && shard.ownership.take(0));
        shard.begin();
        shard.ownership.own(0);
        assert_eq!(shard.release(part(holding, 7, 2)), Released::Refused, "its owner gives nothing away");
        shard.ownership.lose(0);
        assert_eq!(shard.release(part(holding, 7, 2)), Released::Refused, "this is another holding");
        assert!(shard.counters().count() > count / 2);
    }

    #[test]
    fn who_begins_anew_is_given_all_that_was_not_acknowledged() {
        let (mut shard, holding) = lost_shard();
        let first = given(&mut shard, part(holding, 7, 0));
        let all: usize = (0..3).map(|number| given(&mut shard, part(holding, 8, number)).len()).sum();
        assert!(all > 2 * first.len());
        assert_eq!(shard.release(part(holding, 8, 3)), Released::Done);
    }
}
