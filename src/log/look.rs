//! Looking whether there is anything new in a log that others write, by whoever has seen all there was a moment ago.

use super::by_version::not_seen_by;
use super::fence::of_a_primary;
use super::foreign::{MOST_MISSING, fence_after, fence_of};
use super::layout::wrong_kind;
use super::{EventBuffer, Fence, Interest, Layout, Shown, Slice};
use crate::number::Position;
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

const LOOK: &str = include_str!("look.sql");
const LOOK_BY_XID: &str = include_str!("look_by_xid.sql");

/// What a look has found.
#[derive(Debug, Clone)]
pub struct Look {
    /// The fence up to which it has looked; none where so much is missing that a fence must be
    /// [taken](super::foreign::Foreign::fence).
    pub fence: Option<Fence>,
    /// Whether these are all of the events between the fences; otherwise the buffer is full, and there may be more.
    pub complete: bool,
    /// Of the positions that were to be seen again, those that have an event now.
    pub risen: Vec<Position>,
}

/// Fills the buffer with the events that are visible now and not in `seen`, in the order of their positions: at most
/// `limit`, and not many more than 16 MiB. In one statement: what it shows is the fence. The connection must not be
/// inside a transaction.
///
/// # Errors
///
/// The database's. The buffer may then hold some of the events.
///
/// # Cancel safety
///
/// Reads only; a dropped look leaves the connection usable.
pub async fn look(
    layout: &Layout,
    conn: &mut PgConnection,
    (seen, again): (&Fence, &[Position]),
    slice: &Slice,
    interest: &Interest,
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Look, sqlx::Error> {
    into.clear();
    if layout.has_transactions() {
        return by_transactions(layout, conn, seen, slice, interest, limit, into).await;
    }
    if !matches!(seen.shown, Shown::Positions { .. }) {
        return Err(wrong_kind());
    }
    let sql = LOOK.replace("{slice}", &slice.condition("hash")).replace("{late_slice}", &slice.condition("(hash + 0)"));
    let mut rows = sqlx::query(layout.sql(&sql, interest))
        .bind(seen.floor)
        .bind(slice.residues())
        .bind(seen.missing())
        .bind(interest.aggregate_types.as_deref())
        .bind(interest.event_types.as_deref())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(again)
        .fetch(conn);
    let mut found = None;
    while let Some(row) = rows.try_next().await? {
        if found.is_none() {
            found = Some(next_fence(seen, &row)?);
        }
        if row.try_get_unchecked::<Option<Position>, _>(0)?.is_some() {
            into.push_row(&row, interest)?;
        }
        // As many bytes as a batch may have: the rest is read in the window that this leaves open.
        if into.is_full() {
            break;
        }
    }
    let (fence, risen) = found.ok_or(sqlx::Error::RowNotFound)?;
    Ok(Look { fence, complete: into.len() < limit && !into.is_full(), risen })
}

/// The same in a log with a column for the transaction: there is no fence where the buffer is full, since its events
/// are then not the first ones by any order.
async fn by_transactions(
    layout: &Layout,
    conn: &mut PgConnection,
    seen: &Fence,
    slice: &Slice,
    interest: &Interest,
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Look, sqlx::Error> {
    let (listed, xmax) = not_seen_by(seen)?;
    let sql = LOOK_BY_XID
        .replace("{slice}", &slice.condition("hash"))
        .replace("{late_slice}", &slice.condition("(hash + 0)"));
    let mut rows = sqlx::query(layout.sql(&sql, interest))
        .bind(seen.floor)
        .bind(slice.residues())
        .bind(listed)
        .bind(interest.aggregate_types.as_deref())
        .bind(interest.event_types.as_deref())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(xmax)
        .fetch(conn);
    let mut found = None;
    while let Some(row) = rows.try_next().await? {
        if found.is_none() {
            found = Some(fence_of(&row)?);
        }
        if row.try_get_unchecked::<Option<Position>, _>(0)?.is_some() {
            into.push_row(&row, interest)?;
        }
        if into.is_full() {
            break;
        }
    }
    let fence = found.ok_or(sqlx::Error::RowNotFound)?;
    let complete = into.len() < limit && !into.is_full();
    into.order_by_version(None);
    Ok(Look { fence: complete.then_some(fence), complete, risen: Vec::new() })
}

/// The fence that a row of the look makes, and what has risen.
fn next_fence(seen: &Fence, row: &PgRow) -> Result<(Option<Fence>, Vec<Position>), sqlx::Error> {
    let at = row.len() - 6;
    of_a_primary(row.try_get(at + 5)?)?;
    let top: Position = row.try_get(at)?;
    let (from, to): (Vec<i64>, Vec<i64>) = (row.try_get(at + 1)?, row.try_get(at + 2)?);
    let found: Vec<Position> = row.try_get(at + 3)?;
    let (fence, whole) = fence_after(seen, top, from.into_iter().zip(to), &found, MOST_MISSING);
    Ok((whole.then_some(fence), row.try_get(at + 4)?))
}
