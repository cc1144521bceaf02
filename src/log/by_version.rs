//! Reading a window of a log whose positions are drawn by earlier transactions: in the order of the versions of each
//! aggregate, where positions have another.
//!
//! An event's *key* is the highest position of its aggregate's events in the window up to its version. It is the
//! event's own position, but for those that have a lower one than an earlier version: these wait for their key. Of an
//! open window what is applied are the events with keys up to the cursor; keys grow with versions, and a window's
//! events are fixed, so that whoever goes on with it finds the same keys. `docs/design.md` has the argument.

use super::late::{LateBounds, not_ended};
use super::layout::wrong_kind;
use super::read::read_on;
use super::window::AT_POSITIONS;
use super::{EventBuffer, Fence, Interest, Layout, Read, Shown, Slice, Snapshot, Window};
use crate::number::Position;
use futures_util::TryStreamExt;
use sqlx::{PgConnection, Row};
use std::collections::HashMap;
use std::sync::Arc;

const WAITING: &str = include_str!("waiting.sql");

/// Each takes 50 bytes of memory.
const MOST_WAITING: usize = 2_000_000;

/// Reads windows, from one chunk to the next.
#[derive(Debug, Clone, Default)]
pub struct WindowReader {
    /// What waits in the window that was read last.
    waiting: Option<Arc<Waiting>>,
    /// Where the late events of that window are, if they were more than one chunk.
    bounds: Option<Arc<LateBounds>>,
}

/// The events of a window that wait for a higher position than their own.
#[derive(Debug)]
struct Waiting {
    seen: Fence,
    upto: Fence,
    slice: Slice,
    /// Those whose keys are above this one.
    after: Position,
    keys: HashMap<Position, Position>,
    /// In the order of their keys, those with one key in the order of their versions.
    in_order: Vec<Position>,
}

/// More events wait than are remembered.
#[derive(Debug, thiserror::Error)]
#[error(
    "more than {MOST_WAITING} events have a lower position than an earlier version of their aggregate: fold it by more \
     partitions, of which each has fewer"
)]
struct TooManyWait;

impl Waiting {
    /// What waits in a window from its cursor on.
    async fn find(
        layout: &Layout,
        conn: &mut PgConnection,
        window: Window<'_>,
        slice: &Slice,
        interest: &Interest,
    ) -> Result<Self, sqlx::Error> {
        let (listed, xmax) = not_seen_by(window.seen)?;
        let sql = WAITING
            .replace("{slice}", &slice.condition("hash"))
            .replace("{upto}", &layout.shown_in(window.upto, "$4::text")?);
        let mut rows = sqlx::query(layout.sql(&sql, interest))
            .bind(window.after)
            .bind(slice.residues())
            .bind(listed)
            .bind(window.upto.to_string())
            .bind(interest.aggregate_types())
            .bind(interest.event_types())
            .bind(i64::try_from(MOST_WAITING + 1).unwrap_or(i64::MAX))
            .bind(xmax)
            .fetch(conn);
        let (mut keys, mut in_order) = (HashMap::new(), Vec::new());
        while let Some(row) = rows.try_next().await? {
            let position: Position = row.try_get(0)?;
            keys.insert(position, row.try_get(1)?);
            in_order.push(position);
        }
        if in_order.len() > MOST_WAITING {
            return Err(sqlx::Error::Configuration(Box::new(TooManyWait)));
        }
        let (seen, upto) = (window.seen.clone(), window.upto.clone());
        Ok(Self { seen, upto, slice: slice.clone(), after: window.after, keys, in_order })
    }

    fn is_of(&self, window: Window<'_>, slice: &Slice) -> bool {
        let same = self.seen == *window.seen && self.upto == *window.upto && self.slice == *slice;
        // A worker whose batch was rolled back goes back.
        same && self.after <= window.after
    }

    /// Those with keys above one position and up to another, or up to the end.
    fn between(&self, after: Position, upto: Option<Position>) -> &[Position] {
        let above = |position: Option<Position>| {
            let key_is_below = |one: &Position| position.is_none_or(|position| self.keys[one] <= position);
            self.in_order.partition_point(key_is_below)
        };
        &self.in_order[above(Some(after))..above(upto)]
    }
}

/// The transactions whose events a fence does not show.
pub(super) fn not_seen_by(fence: &Fence) -> Result<(Vec<String>, String), sqlx::Error> {
    Ok(not_ended(&snapshot_of(fence)?))
}

/// The snapshot of a fence of a log with a column for the transaction.
pub(super) fn snapshot_of(fence: &Fence) -> Result<Snapshot, sqlx::Error> {
    match &fence.shown {
        Shown::Snapshot(snapshot) => Ok(snapshot.clone()),
        // Of a log that was just begun.
        Shown::Positions { .. } if fence.floor == Position::START => Ok(Snapshot::before_all()),
        Shown::Positions { .. } | Shown::Transactions { .. } => Err(wrong_kind()),
    }
}

impl WindowReader {
    /// Fills the buffer with the next events of the window, like [`read`]; where the log has a column for the
    /// transaction, those of an aggregate in the order of their versions. Events of one aggregate that wait for one
    /// position are not divided: there may be more than the limit.
    ///
    /// # Errors
    ///
    /// The database's, and one where more than 2,000,000 events of the window wait. The buffer may then hold some of
    /// the events.
    ///
    /// # Cancel safety
    ///
    /// Reads only; a dropped read leaves the connection usable.
    pub async fn read(
        &mut self,
        layout: &Layout,
        conn: &mut PgConnection,
        window: Window<'_>,
        (slice, interest): (&Slice, &Interest),
        limit: usize,
        into: &mut EventBuffer,
    ) -> Result<Read, sqlx::Error> {
        if !layout.has_transactions() {
            return read_on(&mut self.bounds, layout, conn, window, (slice, interest), limit, into).await;
        }
        let waiting = match self.waiting.take().filter(|waiting| waiting.is_of(window, slice)) {
            Some(waiting) => waiting,
            None => Arc::new(Waiting::find(layout, &mut *conn, window, slice, interest).await?),
        };
        self.waiting = Some(Arc::clone(&waiting));
        let found = read_on(&mut self.bounds, layout, &mut *conn, window, (slice, interest), limit, into).await?;
        if waiting.in_order.is_empty() {
            return Ok(found);
        }
        let reached = into.last_position().filter(|_| !found.complete);
        into.retain(|position| !waiting.keys.contains_key(&position));
        let cut = join(&waiting, layout, conn, (window.after, reached), (interest, limit), into).await?;
        into.order_by_version(cut);
        into.reaches(cut.or(reached));
        Ok(Read { complete: found.complete && cut.is_none(), ..found })
    }
}

/// Adds the events with keys above one position and up to another. Gives the key of the last one if not all fit.
async fn join(
    waiting: &Waiting,
    layout: &Layout,
    conn: &mut PgConnection,
    (after, upto): (Position, Option<Position>),
    (interest, limit): (&Interest, usize),
    into: &mut EventBuffer,
) -> Result<Option<Position>, sqlx::Error> {
    let all = waiting.between(after, upto);
    let key = |index: usize| all.get(index).map(|position| waiting.keys[position]);
    // Whole keys.
    let mut count = all.len().min(limit.max(1));
    while count > 0 && count < all.len() && key(count) == key(count - 1) {
        count += 1;
    }
    let mut rows = sqlx::query(layout.sql(AT_POSITIONS, interest)).bind(&all[..count]).fetch(conn);
    let mut last = None;
    while let Some(row) = rows.try_next().await? {
        let key = waiting.keys[&row.try_get_unchecked(0)?];
        if into.is_full() && last.is_some_and(|last| last != key) {
            return Ok(last);
        }
        into.push_row(&row, interest)?;
        last = Some(key);
    }
    Ok(if count < all.len() { key(count - 1) } else { None })
}
