//! A fence: what is visible at a moment, and up to which position nothing can be missing.

use super::Snapshot;
use crate::database::Schema;
use crate::database::SchemaError;
use crate::number::Position;
use sqlx::{PgConnection, Row};
use std::fmt;

/// A point up to which the log can be read without missing anything: a set of events that were visible at a moment.
///
/// The events that are visible later and are not in it are a fixed set from that later moment on, a window.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    /// No event that is not in the fence has a position at or below this one, but for those that
    /// [`shown`](Self::shown) names; 0 while no position had been handed out.
    pub floor: Position,
    /// Which events are in it.
    pub shown: Shown,
}

/// How a fence names the events that are in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shown {
    /// By the transactions that wrote them, of a log that has them: evenfold's own.
    Transactions {
        /// The transactions that had ended, at a moment after the floor was read. An event that is not visible in it
        /// has a position above the floor, unless its transaction is one of those that were in progress (F1 in
        /// `docs/design.md`).
        snapshot: Snapshot,
        /// The transaction id that was to be given out next, at a moment after the floor was read.
        next_xid: u64,
    },
    /// By the transactions that wrote them, of a log that others write and that has a column for them. The floor is the
    /// highest position that was visible; events at or below it may commit at any time.
    Snapshot(Snapshot),
    /// By their positions, of a log that others write: all at or below the floor, but for these.
    Positions {
        /// In ascending order. Some of them will never be seen: their transactions were rolled back.
        missing: Vec<Position>,
    },
}

impl Fence {
    /// The fence before everything.
    #[must_use]
    pub fn before_all() -> Self {
        Self::of_transactions(Position::START, Snapshot::before_all(), 1)
    }

    /// The events of these transactions.
    #[must_use]
    pub fn of_transactions(floor: Position, snapshot: Snapshot, next_xid: u64) -> Self {
        Self { floor, shown: Shown::Transactions { snapshot, next_xid } }
    }

    /// The events at these positions.
    #[must_use]
    pub fn of_positions(floor: Position, missing: Vec<Position>) -> Self {
        Self { floor, shown: Shown::Positions { missing } }
    }

    /// The events that this snapshot shows, of which none is above the floor.
    #[must_use]
    pub fn of_snapshot(floor: Position, snapshot: Snapshot) -> Self {
        Self { floor, shown: Shown::Snapshot(snapshot) }
    }

    /// Whether the event at this position, written by this transaction, is in it.
    #[must_use]
    pub fn shows(&self, xid: u64, position: Position) -> bool {
        match &self.shown {
            Shown::Transactions { snapshot, .. } | Shown::Snapshot(snapshot) => snapshot.sees(xid),
            Shown::Positions { missing } => position <= self.floor && missing.binary_search(&position).is_err(),
        }
    }

    /// The transactions that it names, if it does.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        match &self.shown {
            Shown::Transactions { snapshot, .. } | Shown::Snapshot(snapshot) => Some(snapshot),
            Shown::Positions { .. } => None,
        }
    }

    /// The positions at or below its floor that it does not show, if it names positions.
    #[must_use]
    pub fn missing(&self) -> &[Position] {
        match &self.shown {
            Shown::Transactions { .. } | Shown::Snapshot(_) => &[],
            Shown::Positions { missing } => missing,
        }
    }

    /// Takes a fence. The connection must not be inside a transaction of its own: in one that is REPEATABLE READ the
    /// snapshot would be the transaction's, taken before the floor, and in one that has written, the next transaction
    /// id would be its own.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn take(schema: &Schema, conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        // The floor first. A transaction owns its xid before it takes a position, so whoever has a position at or
        // below the floor and has not ended is one of those in progress that are looked at later. The other way
        // round, a transaction may start, take a position and commit between the two, and be missed for ever. Two round
        // trips: in one message they could not be prepared, and take longer.
        //
        // By the function, which locks the page: to log a sequence, PostgreSQL sets `last_value` up to 32 too high for
        // a moment, and a SELECT from the sequence may show that. A transaction that begins later could then have a
        // position at or below the floor.
        let floor = sqlx::query_scalar(
            schema.sql("SELECT coalesce(pg_sequence_last_value('evenfold.events_position_seq'::regclass), 0)"),
        )
        .fetch_one(&mut *conn)
        .await?;
        // `age` counts from the next transaction id, without taking one; 3 is the first that it counts from.
        let row = sqlx::query("SELECT pg_current_snapshot()::text, age('3'::xid), pg_is_in_recovery()")
            .fetch_one(conn)
            .await?;
        of_a_primary(row.try_get(2)?)?;
        let snapshot: Snapshot =
            row.try_get::<&str, _>(0)?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let next_xid = full_xid(snapshot.xmax(), row.try_get(1)?);
        Ok(Self::of_transactions(floor, snapshot, next_xid))
    }

    /// Whether it shows the same events as another fence of the same log. The floors may differ.
    pub(crate) fn shows_as_much_as(&self, other: &Self) -> bool {
        match (self.snapshot(), other.snapshot()) {
            (Some(own), Some(other)) => own == other,
            _ => self == other,
        }
    }

    /// The fence that shows what either of two fences of one log shows.
    ///
    /// Of two snapshots of one cluster the later one shows all of the earlier one: transactions have ended that the
    /// earlier one does not know of, or fewer of the same are in progress. Two sets of positions may each have one that
    /// the other has not, where whoever made them has found out at different times that it is never seen.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (&self.shown, &other.shown) {
            (Shown::Positions { missing: own }, Shown::Positions { missing: others }) => {
                let floor = self.floor.max(other.floor);
                let candidates = own.iter().chain(others).copied();
                let unseen = |position: &Position| !self.shows(0, *position) && !other.shows(0, *position);
                let mut missing: Vec<Position> = candidates.filter(unseen).collect();
                missing.sort_unstable();
                missing.dedup();
                Self::of_positions(floor, missing)
            }
            _ if self.progress() > other.progress() => self.clone(),
            _ => other.clone(),
        }
    }

    /// The fence that shows what both of two fences of one log show. Of fences with one snapshot the one with the lower
    /// floor holds for both: it promises less.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        match (&self.shown, &other.shown) {
            (Shown::Positions { missing: own }, Shown::Positions { missing: others }) => {
                let floor = self.floor.min(other.floor);
                let mut missing: Vec<Position> = own.iter().chain(others).copied().filter(|p| *p <= floor).collect();
                missing.sort_unstable();
                missing.dedup();
                Self::of_positions(floor, missing)
            }
            _ if (self.progress(), self.floor) <= (other.progress(), other.floor) => self.clone(),
            _ => other.clone(),
        }
    }

    /// Compares fences: of two, the later one has the greater progress. Positions are beyond the fence before
    /// everything, which every log begins with.
    pub(crate) fn progress(&self) -> (u64, std::cmp::Reverse<usize>) {
        match &self.shown {
            Shown::Transactions { snapshot, .. } | Shown::Snapshot(snapshot) => {
                (snapshot.xmax(), std::cmp::Reverse(snapshot.in_progress().len()))
            }
            Shown::Positions { missing } => {
                (self.floor.get().unsigned_abs().saturating_add(2), std::cmp::Reverse(missing.len()))
            }
        }
    }

    /// Whether a transaction was in progress: it may have taken a position at or below the floor, and commit later.
    ///
    /// PostgreSQL lists those below `xmax` only, and `xmax` is one above the last that *ended*: a transaction that has
    /// begun since is above it, and in no list.
    #[must_use]
    pub fn may_be_late(&self, xid: u64) -> bool {
        let Shown::Transactions { snapshot, next_xid } = &self.shown else { return false };
        (snapshot.xmax()..*next_xid).contains(&xid) || snapshot.in_progress().binary_search(&xid).is_ok()
    }

    /// Whether every event to come has a position above the floor.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match &self.shown {
            Shown::Transactions { snapshot, next_xid } => {
                snapshot.in_progress().is_empty() && *next_xid == snapshot.xmax()
            }
            Shown::Snapshot(_) => false,
            Shown::Positions { missing } => missing.is_empty(),
        }
    }
}

/// What it shows, as statements are given it: as PostgreSQL writes a snapshot; or the floor, and after a colon the
/// missing positions.
impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shown {
            Shown::Transactions { snapshot, .. } | Shown::Snapshot(snapshot) => snapshot.fmt(f),
            Shown::Positions { missing } => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                write!(f, "{}:{}", self.floor, missing.join(","))
            }
        }
    }
}

/// Whoever recovers has no list of transactions in progress: a fence that is taken there would take those for ended
/// that commit once it is a primary. It was looked at when the connection was made, and nothing is to rest on that
/// alone.
pub(super) fn of_a_primary(in_recovery: bool) -> Result<(), sqlx::Error> {
    if in_recovery { Err(sqlx::Error::Configuration(Box::new(SchemaError::Standby))) } else { Ok(()) }
}

/// The next transaction id in 64 bits: the first one from `xmax` on with the 32 bits that `age` counted to from 3.
pub(super) fn full_xid(xmax: u64, age: i32) -> u64 {
    let low = age.cast_unsigned().wrapping_add(3);
    let ahead = u64::from(low).wrapping_sub(xmax) & u64::from(u32::MAX);
    xmax + ahead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_xid_is_at_or_above_xmax_also_where_32_bits_end() {
        let age = |next: u64| {
            let low = u32::try_from(next & u64::from(u32::MAX)).unwrap_or_default();
            low.wrapping_sub(3).cast_signed()
        };
        for xmax in [3, 1000, (1 << 31) + 5, (1 << 32) - 1, (1 << 32) + 3, (7 << 32) - 2] {
            for ahead in [0, 1, 5, 100_000] {
                assert_eq!(full_xid(xmax, age(xmax + ahead)), xmax + ahead, "{xmax} + {ahead}");
            }
        }
    }

    #[test]
    fn transactions_in_progress_may_be_late_whether_they_are_listed_or_not() {
        let fence = |xid| Fence::of_transactions(Position::new(9), "5:8:5".parse().unwrap(), xid);
        let (fence, shorter) = (fence(10), fence(8));
        assert_eq!((0..15).filter(|&xid| fence.may_be_late(xid)).collect::<Vec<_>>(), [5, 8, 9]);
        assert!(!fence.is_final());
        assert!(!shorter.is_final());
        assert!(Fence::before_all().is_final());
    }

    fn positions(floor: i64, missing: &[i64]) -> Fence {
        Fence::of_positions(Position::new(floor), missing.iter().map(|&n| Position::new(n)).collect())
    }

    #[test]
    fn a_set_of_positions_shows_those_up_to_its_floor_that_are_not_missing() {
        let fence = positions(5, &[2, 4]);
        assert_eq!((0..8).filter(|&n| n > 0 && fence.shows(9, Position::new(n))).collect::<Vec<_>>(), [1, 3, 5]);
        assert!(!fence.is_final() && positions(5, &[]).is_final());
        assert_eq!(fence.to_string(), "5:2,4");
    }

    #[test]
    fn a_union_shows_what_either_shows() {
        assert_eq!(positions(5, &[2, 4]).union(&positions(9, &[4, 8])), positions(9, &[4, 8]));
        assert_eq!(positions(5, &[]).union(&positions(9, &[4, 8])), positions(9, &[8]), "4 was found to be nobody's");
        assert_eq!(positions(9, &[7]).union(&positions(5, &[2])), positions(9, &[7]));
        assert_eq!(Fence::before_all().union(&positions(0, &[])), positions(0, &[]));
        assert_eq!(positions(3, &[1]).union(&Fence::before_all()), positions(3, &[1]));
        assert_eq!(positions(9, &[7, 3]).intersection(&positions(5, &[2])), positions(5, &[2, 3]));
        let snapshot = |text: &str| Fence::of_transactions(Position::new(1), text.parse().unwrap(), 20);
        assert_eq!(snapshot("5:9:5").union(&snapshot("9:9:")), snapshot("9:9:"));
    }
}
