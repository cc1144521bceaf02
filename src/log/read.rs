//! Reading a window: first its late events, then those above its floor.

use super::late::{LateBounds, late};
use super::window::range;
use super::{EventBuffer, Interest, Layout, Read, Shown, Slice, Window};
use sqlx::PgConnection;
use std::sync::Arc;
use std::time::Duration;

/// Fills the buffer with the next events of the window, in the order of their positions: at most `limit`, and not many
/// more than 16 MiB.
///
/// # Errors
///
/// The database's. The buffer may then hold some of the events.
///
/// # Cancel safety
///
/// Reads only; a dropped read leaves the connection usable.
pub async fn read(
    layout: &Layout,
    conn: &mut PgConnection,
    window: Window<'_>,
    slice: &Slice,
    interest: &Interest,
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    read_on(&mut None, layout, conn, window, (slice, interest), limit, into).await
}

/// The same, by whoever reads the window chunk by chunk: keeps where late events are, if they are many.
pub(super) async fn read_on(
    bounds: &mut Option<Arc<LateBounds>>,
    layout: &Layout,
    conn: &mut PgConnection,
    window: Window<'_>,
    (slice, interest): (&Slice, &Interest),
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    into.clear();
    let mut decoding = Duration::ZERO;
    let floor = window.seen.floor;
    // Events at or below the floor that were not read before can only be those of transactions that were in progress
    // when the window's start was taken. There are usually none, and they come before all others.
    if !window.seen.is_final() && window.after < floor {
        let read = late(bounds, layout, conn, window, (slice, interest), limit, into).await?;
        if !read.complete {
            return Ok(read);
        }
        decoding = read.decoding;
    }
    let rest = Window { after: window.after.max(floor), ..window };
    let seen = match window.seen.shown {
        Shown::Transactions { .. } => format!("NOT {}", layout.shown_in(window.seen, "$3::text")?),
        // None above its floor. The parameter is used all the same.
        Shown::Positions { .. } | Shown::Snapshot(_) => "$3::text IS NOT NULL".to_owned(),
    };
    let read = range(layout, conn, rest, (&seen, None), (slice, interest), limit, into).await?;
    Ok(Read { decoding: decoding + read.decoding, ..read })
}
