//! Looking whether there is anything new, by whoever has seen all there was a moment ago.

use super::late::not_ended;
use super::layout::wrong_kind;
use super::{EventBuffer, Fence, Interest, Layout, Shown, Slice, Snapshot};
use crate::database::Schema;
use crate::number::Position;
use futures_util::TryStreamExt;
use sqlx::{PgConnection, Row};

const POLL: &str = include_str!("poll.sql");
const LATE: &str = include_str!("poll_late.sql");

/// What a look has found.
#[derive(Debug, Clone)]
pub struct Polled {
    /// The fence up to which it has looked.
    pub fence: Fence,
    /// The last position that has been handed out. It was read after the fence's snapshot, so it is the floor of no
    /// fence before the next.
    pub last_position: Position,
    /// Whether these are all of the events between the fences; otherwise the buffer is full, and there may be more.
    pub complete: bool,
}

/// Fills the buffer with the events that are visible now and not in `seen`, in the order of their positions: at most
/// `limit`, and not many more than 16 MiB. In one statement: its snapshot is the fence's, and `floor`, which was read
/// before, is the fence's floor.
///
/// The older the floor, the more positions the next look walks again. The connection must not be inside a transaction.
///
/// # Errors
///
/// The database's. The buffer may then hold some of the events.
///
/// # Cancel safety
///
/// Reads only; a dropped look leaves the connection usable.
pub async fn poll(
    schema: &Schema,
    conn: &mut PgConnection,
    (seen, floor): (&Fence, Position),
    slice: &Slice,
    interest: &Interest,
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Polled, sqlx::Error> {
    into.clear();
    let Shown::Transactions { snapshot, next_xid } = &seen.shown else { return Err(wrong_kind()) };
    let late = if seen.is_final() { "" } else { LATE };
    let sql = POLL
        .replace("{late}", late)
        .replace("{slice}", &slice.condition("hash"))
        .replace("{late_slice}", &slice.condition("(hash + 0)"));
    let mut query = sqlx::query(Layout::from(schema).sql(&sql, interest))
        .bind(seen.floor)
        .bind(slice.residues())
        .bind(snapshot.to_string())
        .bind(interest.aggregate_types.as_deref())
        .bind(interest.event_types.as_deref())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    if !seen.is_final() {
        let (listed, xmax) = not_ended(snapshot);
        query = query.bind(listed).bind(xmax).bind(next_xid.to_string());
    }
    let mut rows = query.fetch(conn);
    let mut polled = None;
    while let Some(row) = rows.try_next().await? {
        let now = row.len() - 4;
        if polled.is_none() {
            let snapshot: Snapshot =
                row.try_get::<&str, _>(now)?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let next_xid = super::fence::full_xid(snapshot.xmax(), row.try_get(now + 1)?);
            super::fence::of_a_primary(row.try_get(now + 2)?)?;
            polled = Some((Fence::of_transactions(floor, snapshot, next_xid), row.try_get(now + 3)?));
        }
        if row.try_get_unchecked::<Option<Position>, _>(0)?.is_some() {
            into.push_row(&row, interest)?;
        }
        // As many bytes as a batch may have: the rest is read in the window that this leaves open.
        if into.is_full() {
            break;
        }
    }
    let full = into.len() == limit || into.is_full();
    let (fence, last_position) = polled.ok_or(sqlx::Error::RowNotFound)?;
    Ok(Polled { fence, last_position, complete: !full })
}
