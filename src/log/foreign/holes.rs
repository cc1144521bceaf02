//! Which missing positions can still be seen: those of transactions that may be in progress.
//!
//! PostgreSQL locks a sequence in the name of the top transaction before it draws a number, and keeps the lock until
//! the transaction has ended, also where a savepoint is rolled back or the transaction is prepared. So whoever may
//! still commit a position that was found missing is among those who hold the sequence's lock at any later moment. A
//! position of which all of these have gone since is either seen by the next look, or by none.

use super::{Holder, keep_holders};
use crate::number::Position;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often holders are looked at while something is missing: the look costs the server up to some milliseconds where
/// it has thousands of locks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// After how long a position that nobody can write any more is looked at again; the last pause is repeated.
const SEEN_AGAIN_AFTER: [u64; 4] = [1, 10, 60, 600];

/// For how long it is.
const WATCHED: Duration = Duration::from_hours(1);

/// The most positions that are watched.
const MOST_WATCHED: usize = 10_000;

/// What is known of the positions that are missing. It is nowhere but in memory: whoever begins anew knows nothing of
/// them, and finds out again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Holes {
    /// Of each missing position, who may still write it; none while that was not looked at.
    missing: BTreeMap<Position, Option<BTreeSet<Holder>>>,
    holders_seen: Option<Instant>,
    /// Positions that were abandoned, and when to look at them again.
    watched: BTreeMap<Position, Watched>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Watched {
    since: Instant,
    looks: usize,
}

impl Holes {
    /// Takes what a look has not seen, and gives what of it may still be seen. The look must have begun after the
    /// [holders](Self::saw_holders) were looked at last.
    pub fn looked(&mut self, missing: &[Position], now: Instant) -> Vec<Position> {
        let before = std::mem::take(&mut self.missing);
        let mut still = Vec::with_capacity(missing.len());
        for &position in missing {
            match before.get(&position) {
                // Its writers had gone before the look, which would have seen it.
                Some(Some(holders)) if holders.is_empty() => self.watch(position, now),
                known => {
                    self.missing.insert(position, known.cloned().flatten());
                    still.push(position);
                }
            }
        }
        still
    }

    /// Whether the holders of the sequence's lock are to be looked at.
    #[must_use]
    pub fn wants_holders(&self, now: Instant) -> bool {
        let is_due = self.holders_seen.is_none_or(|seen| now.saturating_duration_since(seen) >= LOOK_EVERY);
        is_due && !self.missing.is_empty()
    }

    /// Takes who holds the sequence's lock, as of a moment after the last look.
    pub fn saw_holders(&mut self, holders: &BTreeSet<Holder>, now: Instant) {
        self.holders_seen = Some(now);
        for known in self.missing.values_mut() {
            match known {
                None => *known = Some(holders.clone()),
                Some(blockers) => keep_holders(blockers, holders),
            }
        }
    }

    /// Forgets who may write what: after a connection was lost, the holders' names may be those of others.
    pub fn forget(&mut self) {
        self.missing.clear();
        self.holders_seen = None;
    }

    fn watch(&mut self, position: Position, now: Instant) {
        if self.watched.len() < MOST_WATCHED {
            self.watched.insert(position, Watched { since: now, looks: 0 });
        }
    }

    /// The positions that were abandoned, and are to be looked at again: an event at one of them was written in another
    /// transaction than the one that has drawn its number, and is lost.
    pub fn to_see_again(&mut self, now: Instant) -> Vec<Position> {
        self.watched.retain(|_, watched| now.saturating_duration_since(watched.since) < WATCHED);
        let mut due = Vec::new();
        for (&position, watched) in &mut self.watched {
            let pause = SEEN_AGAIN_AFTER[..=watched.looks.min(SEEN_AGAIN_AFTER.len() - 1)].iter().sum();
            if now.saturating_duration_since(watched.since) >= Duration::from_secs(pause) {
                watched.looks += 1;
                due.push(position);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(numbers: &[i64]) -> Vec<Position> {
        numbers.iter().map(|&number| Position::new(number)).collect()
    }

    fn holders(names: &[&str]) -> BTreeSet<Holder> {
        names.iter().map(|name| Holder::named(name)).collect()
    }

    #[test]
    fn a_position_is_abandoned_by_a_look_after_all_who_may_write_it_have_gone() {
        let (mut holes, now) = (Holes::default(), Instant::now());
        assert!(!holes.wants_holders(now), "nothing is missing");
        assert_eq!(holes.looked(&positions(&[3, 5]), now), positions(&[3, 5]));
        assert!(holes.wants_holders(now));
        holes.saw_holders(&holders(&["3/7", "4/9"]), now);
        assert!(!holes.wants_holders(now) && holes.wants_holders(now + LOOK_EVERY));
        assert_eq!(holes.looked(&positions(&[3, 5, 8]), now), positions(&[3, 5, 8]));
        // 8 was found later: whoever came in the meantime may write it, and nothing else.
        holes.saw_holders(&holders(&["4/9", "5/1"]), now);
        holes.saw_holders(&holders(&["5/1"]), now);
        assert_eq!(holes.looked(&positions(&[3, 5, 8]), now), positions(&[8]));
        holes.saw_holders(&holders(&[]), now);
        assert_eq!(holes.looked(&positions(&[8]), now), positions(&[]));
    }

    #[test]
    fn a_position_whose_writers_were_not_looked_at_is_missing_still() {
        let (mut holes, now) = (Holes::default(), Instant::now());
        holes.looked(&positions(&[3]), now);
        holes.saw_holders(&holders(&[]), now);
        holes.forget();
        assert_eq!(holes.looked(&positions(&[3]), now), positions(&[3]));
    }

    #[test]
    fn whoever_has_gone_may_have_become_a_prepared_transaction() {
        let (mut holes, now) = (Holes::default(), Instant::now());
        holes.looked(&positions(&[3]), now);
        holes.saw_holders(&holders(&["3/7", "4/1"]), now);
        holes.saw_holders(&holders(&["4/1", "-1/731", "6/2"]), now);
        holes.saw_holders(&holders(&["-1/731"]), now);
        assert_eq!(holes.looked(&positions(&[3]), now), positions(&[3]));
        holes.saw_holders(&holders(&["6/2"]), now);
        assert_eq!(holes.looked(&positions(&[3]), now), positions(&[]), "6/2 came after 3 was drawn");
    }

    #[test]
    fn what_was_abandoned_is_seen_again_for_an_hour_ever_less_often() {
        let (mut holes, now) = (Holes::default(), Instant::now());
        holes.looked(&positions(&[3]), now);
        holes.saw_holders(&holders(&[]), now);
        holes.looked(&positions(&[3]), now);
        let due = |holes: &mut Holes, seconds| !holes.to_see_again(now + Duration::from_secs(seconds)).is_empty();
        let looks: Vec<u64> = (0..5_000).filter(|&second| due(&mut holes, second)).collect();
        assert_eq!(looks[..4], [1, 11, 71, 671]);
        assert!(looks.iter().all(|&second| second < 3_600), "{looks:?}");
    }
}
