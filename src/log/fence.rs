//! A fence: what is visible at a moment, and up to which position nothing can be missing.

use super::Snapshot;
use crate::database::Schema;
use crate::database::SchemaError;
use crate::number::Position;
use sqlx::{PgConnection, Row};

/// A point up to which the log can be read without missing anything.
///
/// What it gives (F1 in `docs/design.md`): an event that is not visible in `snapshot` has a position above `floor`,
/// unless its transaction is one of those that were in progress, see [`may_be_late`](Self::may_be_late).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The last position that had been handed out; 0 while none had.
    pub floor: Position,
    /// The transactions that had ended, at a moment after the floor was read.
    pub snapshot: Snapshot,
    /// The transaction id that was to be given out next, at a moment after the floor was read.
    pub next_xid: u64,
}

impl Fence {
    /// The fence before everything.
    #[must_use]
    pub fn before_all() -> Self {
        Self { floor: Position::START, snapshot: Snapshot::before_all(), next_xid: 1 }
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
        Ok(Self { floor, snapshot, next_xid })
    }

    /// Compares fences of one cluster: of two, the later one has the greater progress, and shows at least as much. A
    /// later snapshot has ended transactions that an earlier one does not know of, or fewer of the same in progress.
    pub(crate) fn progress(&self) -> (u64, std::cmp::Reverse<usize>) {
        (self.snapshot.xmax(), std::cmp::Reverse(self.snapshot.in_progress().len()))
    }

    /// Whether a transaction was in progress: it may have taken a position at or below the floor, and commit later.
    ///
    /// PostgreSQL lists those below `xmax` only, and `xmax` is one above the last that *ended*: a transaction that has
    /// begun since is above it, and in no list.
    #[must_use]
    pub fn may_be_late(&self, xid: u64) -> bool {
        let Self { snapshot, next_xid, .. } = self;
        (snapshot.xmax()..*next_xid).contains(&xid) || snapshot.in_progress().binary_search(&xid).is_ok()
    }

    /// Whether no transaction was in progress, so that every event to come has a position above the floor.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.snapshot.in_progress().is_empty() && self.next_xid == self.snapshot.xmax()
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
        let fence = Fence {
            floor: Position::new(9),
            snapshot: "5:8:5".parse().unwrap_or_else(|_| Snapshot::before_all()),
            next_xid: 10,
        };
        assert_eq!((0..15).filter(|&xid| fence.may_be_late(xid)).collect::<Vec<_>>(), [5, 8, 9]);
        assert!(!fence.is_final());
        assert!(!Fence { next_xid: 8, ..fence.clone() }.is_final());
        assert!(Fence { snapshot: Snapshot::before_all(), next_xid: 1, floor: Position::new(0) }.is_final());
    }
}
