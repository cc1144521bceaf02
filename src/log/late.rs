//! The late events of a window: those at or below the floor of its start, of transactions that were in progress then.
//!
//! They are found by the index of the transactions, which has not their order: each chunk visits all of them, and sorts
//! them. Where one transaction has written many, that would be done again for each chunk. So where they do not fit into
//! one, it is found out once where they are, and they are read in the order of the positions where these are few.

use super::layout::wrong_kind;
use super::window::{bound, fill, range};
use super::{EventBuffer, Fence, Interest, Layout, Read, Shown, Slice, Snapshot, Window};
use crate::number::Position;
use sqlx::{PgConnection, Row, SqlStr};
use std::sync::Arc;
use std::time::Duration;

const LATE: &str = include_str!("late.sql");
const LATE_BY_XID: &str = include_str!("late_by_xid.sql");
const MISSING: &str = include_str!("missing.sql");
const BOUNDS: &str = include_str!("late_bounds.sql");

/// The position of one late event in so many is remembered.
const STRIDE: usize = 10_000;

/// Positions that were missing are looked up so many at a time, or as many as events are asked for.
const MISSING_AT_ONCE: usize = 1_000;

/// Where the late events of a window are that has many: found out once, as a window's events are fixed.
#[derive(Debug)]
pub(super) struct LateBounds {
    seen: Fence,
    upto: Fence,
    /// All of them are above this one.
    after: Position,
    /// How many they are, whoever they are for.
    events: u64,
    /// The position of each [`STRIDE`]th of them, and of the last.
    positions: Vec<Position>,
}

impl LateBounds {
    async fn find(layout: &Layout, conn: &mut PgConnection, window: Window<'_>) -> Result<Self, sqlx::Error> {
        let transactions = Transactions::of(window)?;
        let sql = BOUNDS.replace("{upto}", &layout.shown_in(window.upto, "$7::text")?);
        let rows = sqlx::query(layout.sql(&sql, &Interest::everything()))
            .bind(window.after)
            .bind(window.seen.floor)
            .bind(transactions.listed)
            .bind(transactions.from.to_string())
            .bind(transactions.below.to_string())
            .bind(i64::try_from(STRIDE).unwrap_or(i64::MAX))
            .bind(window.upto.to_string())
            .fetch_all(conn)
            .await?;
        let last: i64 = rows.last().map_or(Ok(0), |row| row.try_get(1))?;
        let positions = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<_>, _>>()?;
        let (seen, upto) = (window.seen.clone(), window.upto.clone());
        Ok(Self { seen, upto, after: window.after, events: last.unsigned_abs(), positions })
    }

    fn is_of(&self, window: Window<'_>) -> bool {
        // A worker whose batch was rolled back goes back.
        self.seen == *window.seen && self.upto == *window.upto && self.after <= window.after
    }

    /// Up to where the positions are to be walked for the next events, and whether they are few: as many as there are
    /// late events, which would be visited instead. None where there are no more events.
    fn next(&self, after: Position, wanted: usize) -> Option<(Position, bool)> {
        let passed = self.positions.partition_point(|position| *position <= after);
        let last = self.positions.len().checked_sub(1)?;
        let until = *self.positions.get(passed)?;
        let until = *self.positions.get((passed + wanted / STRIDE).min(last)).unwrap_or(&until);
        // Of a part of a stride about as large a part is walked.
        let part = u128::try_from(wanted.clamp(1, STRIDE)).unwrap_or_default();
        let walked = u128::from(until.distance_from(after).unsigned_abs()) * part;
        Some((until, walked <= u128::from(self.events) * STRIDE as u128))
    }
}

/// The transactions of which a window may have late events: those that had not ended at its start and had at its end,
/// for statements.
struct Transactions {
    listed: Vec<String>,
    /// And those from this one on, below the other.
    from: u64,
    below: u64,
}

impl Transactions {
    fn of(window: Window<'_>) -> Result<Self, sqlx::Error> {
        let (snapshot, next_xid) = match &window.seen.shown {
            Shown::Transactions { snapshot, next_xid } => (snapshot, Some(*next_xid)),
            Shown::Snapshot(snapshot) => (snapshot, None),
            Shown::Positions { .. } => return Err(wrong_kind()),
        };
        let upto = window.upto.snapshot().ok_or_else(wrong_kind)?;
        let listed = snapshot.in_progress().iter().filter(|xid| upto.sees(**xid)).map(u64::to_string).collect();
        let below = next_xid.map_or(upto.xmax(), |next_xid| next_xid.min(upto.xmax()));
        Ok(Self { listed, from: snapshot.xmax(), below })
    }

    fn are_none(&self) -> bool {
        self.listed.is_empty() && self.from >= self.below
    }
}

/// The transactions that had not ended, for statements: those that were in progress, and the first of those that had
/// not begun.
pub(super) fn not_ended(snapshot: &Snapshot) -> (Vec<String>, String) {
    (snapshot.in_progress().iter().map(u64::to_string).collect(), snapshot.xmax().to_string())
}

/// Fills the buffer with the next events at or below the floor of the window's start.
pub(super) async fn late(
    bounds: &mut Option<Arc<LateBounds>>,
    layout: &Layout,
    conn: &mut PgConnection,
    window: Window<'_>,
    (slice, interest): (&Slice, &Interest),
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    if let (Shown::Positions { missing: positions }, Layout::Foreign(_)) = (&window.seen.shown, layout) {
        return missing(positions, layout, conn, window, (slice, interest), limit, into).await;
    }
    if let Some(known) = bounds.take().filter(|known| known.is_of(window)) {
        *bounds = Some(Arc::clone(&known));
        return by_position(&known, layout, conn, window, (slice, interest), limit, into).await;
    }
    let read = by_transaction(layout, &mut *conn, window, (slice, interest), limit, into).await?;
    if !read.complete {
        *bounds = Some(Arc::new(LateBounds::find(layout, conn, window).await?));
    }
    Ok(read)
}

/// Walks the positions, as long as they are few.
async fn by_position(
    known: &LateBounds,
    layout: &Layout,
    conn: &mut PgConnection,
    mut window: Window<'_>,
    (slice, interest): (&Slice, &Interest),
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    let not_seen = format!("NOT {}", layout.shown_in(window.seen, "$3::text")?);
    let mut decoding = Duration::ZERO;
    while let Some((until, is_short)) = known.next(window.after, limit - into.len()) {
        if !is_short {
            let read = by_transaction(layout, conn, window, (slice, interest), limit, into).await?;
            return Ok(Read { decoding: decoding + read.decoding, ..read });
        }
        let upto = (not_seen.as_str(), Some(until));
        let read = range(layout, &mut *conn, window, upto, (slice, interest), limit, into).await?;
        decoding += read.decoding;
        if !read.complete {
            return Ok(Read { complete: false, decoding });
        }
        window.after = until;
    }
    Ok(Read { complete: true, decoding })
}

async fn by_transaction(
    layout: &Layout,
    conn: &mut PgConnection,
    window: Window<'_>,
    (slice, interest): (&Slice, &Interest),
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    let template = match (&window.seen.shown, layout) {
        (Shown::Transactions { .. }, Layout::Own(_)) => LATE,
        (Shown::Snapshot(_), Layout::Foreign(_)) => LATE_BY_XID,
        _ => return Err(wrong_kind()),
    };
    let transactions = Transactions::of(window)?;
    if transactions.are_none() {
        return Ok(Read { complete: true, decoding: Duration::ZERO });
    }
    let sql = statement(template, layout, window, (slice, interest))?;
    let query = bound(sqlx::query(sql), window, slice, interest, limit - into.len())
        .bind(window.seen.floor)
        .bind(transactions.listed)
        .bind(transactions.from.to_string())
        .bind(transactions.below.to_string());
    fill(query.fetch(conn), interest, limit, into).await
}

/// By the positions that were missing: some at a time, so that each is looked up about once, however many chunks.
async fn missing(
    positions: &[Position],
    layout: &Layout,
    conn: &mut PgConnection,
    window: Window<'_>,
    (slice, interest): (&Slice, &Interest),
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    let mut decoding = Duration::ZERO;
    let rest = &positions[positions.partition_point(|position| *position <= window.after)..];
    for some in rest.chunks(limit.max(MISSING_AT_ONCE)) {
        let sql = statement(MISSING, layout, window, (slice, interest))?;
        let query = bound(sqlx::query(sql), window, slice, interest, limit - into.len()).bind(some);
        let read = fill(query.fetch(&mut *conn), interest, limit, into).await?;
        decoding += read.decoding;
        if !read.complete {
            return Ok(Read { complete: false, decoding });
        }
    }
    Ok(Read { complete: true, decoding })
}

fn statement(
    template: &str,
    layout: &Layout,
    window: Window<'_>,
    (slice, interest): (&Slice, &Interest),
) -> Result<SqlStr, sqlx::Error> {
    let upto = layout.shown_in(window.upto, "$4::text")?;
    let sql = template.replace("{slice}", &slice.condition("(hash + 0)")).replace("{upto}", &upto);
    Ok(layout.sql(&sql, interest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(events: u64, positions: &[i64]) -> LateBounds {
        let (seen, upto) = (Fence::before_all(), Fence::before_all());
        let positions = positions.iter().map(|position| Position::new(*position)).collect();
        LateBounds { seen, upto, after: Position::START, events, positions }
    }

    #[test]
    fn positions_are_walked_where_they_are_no_more_than_the_late_events() {
        let next = |known: &LateBounds, after, wanted| {
            known.next(Position::new(after), wanted).map(|(until, is_short)| (until.get(), is_short))
        };
        let dense = known(35_000, &[10_000, 20_000, 30_000, 35_000]);
        assert_eq!(next(&dense, 0, 20_000), Some((30_000, true)));
        assert_eq!(next(&dense, 9_999, 1), Some((10_000, true)));
        assert_eq!(next(&dense, 10_000, 1), Some((20_000, true)));
        assert_eq!(next(&dense, 30_000, 100_000), Some((35_000, true)), "no further than the last one");
        assert_eq!(next(&dense, 35_000, 1), None, "there are no more");
        let sparse = known(10_010, &[20_000_000, 50_000_000]);
        assert_eq!(next(&sparse, 0, 10_000), Some((50_000_000, false)));
        assert_eq!(next(&sparse, 0, 5), Some((20_000_000, true)), "about 10,000 of them for five");
        assert_eq!(next(&sparse, 0, 9), Some((20_000_000, false)));
        assert_eq!(next(&known(0, &[]), 0, 1), None);
    }
}
