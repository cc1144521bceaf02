//! Reading a window: the events that one snapshot shows and an earlier fence does not.

use super::layout::wrong_kind;
use super::{EventBuffer, Fence, Interest, Layout, Shown, Snapshot};
use crate::class::Class;
use crate::number::Position;
use futures_util::TryStreamExt;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use std::time::{Duration, Instant};

const RANGE: &str = include_str!("range.sql");
const LATE: &str = include_str!("late.sql");
const LATE_BY_XID: &str = include_str!("late_by_xid.sql");
const MISSING: &str = include_str!("missing.sql");

/// Events at positions, in the order in which they are asked for.
pub(super) const AT_POSITIONS: &str =
    "SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
    FROM unnest($1::bigint[]) WITH ORDINALITY AS asked (place, number) JOIN {log} ON position = place ORDER BY number";

/// The events that are visible in `upto` and not in `seen`, from some position on.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Where the window begins: what is visible in it has been read before.
    pub seen: &'a Fence,
    /// Where the window ends.
    pub upto: &'a Fence,
    /// Only positions above this one.
    pub after: Position,
}

/// Which hashes to read: those of a few classes of one modulus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    modulus: i64,
    residues: Vec<i64>,
}

impl Slice {
    /// The hashes of these classes, which have the modulus of the first.
    #[must_use]
    pub fn of(classes: &[Class]) -> Self {
        let mut residues: Vec<i64> = classes.iter().map(|class| class.residue().into()).collect();
        residues.sort_unstable();
        residues.dedup();
        Self { modulus: classes.first().map_or(1, |class| class.modulus().into()), residues }
    }

    pub(super) fn residues(&self) -> &[i64] {
        &self.residues
    }

    /// The condition on a hash, with the residues as `$2`. The modulus is part of the text: a plan that is made for any
    /// parameter can't know that `hash % $2` is what the index for one modulus has.
    pub(super) fn condition(&self, hash: &str) -> String {
        self.condition_with(hash, "$2::bigint[]")
    }

    /// The same with the residues in the text.
    pub(super) fn literal(&self, hash: &str) -> String {
        let residues: Vec<String> = self.residues.iter().map(ToString::to_string).collect();
        self.condition_with(hash, &format!("'{{{}}}'::bigint[]", residues.join(",")))
    }

    fn condition_with(&self, hash: &str, residues: &str) -> String {
        let modulus = self.modulus;
        match self.residues.len() {
            // All that there are. A filter would cost something per row.
            n if i64::try_from(n) == Ok(modulus) => format!("{residues} IS NOT NULL"),
            // For one residue the index has the order of the positions, not for a list of them.
            1 => format!("{hash} % {modulus} = ({residues})[1]"),
            _ => format!("{hash} % {modulus} = ANY ({residues})"),
        }
    }
}

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Whether the window has no more events; otherwise the buffer is full, and there may be more.
    pub complete: bool,
    /// Time spent on decoding rows, as estimated from one row in 64.
    pub decoding: Duration,
}

/// Reading the clock twice for every row would cost a noticeable part of decoding it.
const TIMED_ROWS: u32 = 64;

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
    into.clear();
    let mut decoding = Duration::ZERO;
    let floor = window.seen.floor;
    // Events at or below the floor that were not read before can only be those of transactions that were in progress
    // when the window's start was taken. There are usually none, and they come before all others.
    if !window.seen.is_final() && window.after < floor {
        let read = late(layout, conn, window, slice, interest, limit, into).await?;
        if !read.complete {
            return Ok(read);
        }
        decoding = read.decoding;
    }
    let after = window.after.max(floor);
    let seen = match window.seen.shown {
        Shown::Transactions { .. } => format!("NOT {}", layout.shown_in(window.seen, "$3::text")?),
        // None above its floor. The parameter is used all the same.
        Shown::Positions { .. } | Shown::Snapshot(_) => "$3::text IS NOT NULL".to_owned(),
    };
    let range = RANGE
        .replace("{slice}", &slice.condition("hash"))
        .replace("{not_seen}", &seen)
        .replace("{upto}", &layout.shown_in(window.upto, "$4::text")?);
    let sql = layout.sql(&range, interest);
    let query = bound(sqlx::query(sql), window, after, slice, interest, limit - into.len());
    let read = fill(query.fetch(&mut *conn), interest, limit, into).await?;
    Ok(Read { decoding: decoding + read.decoding, ..read })
}

/// The events at or below the floor of the window's start.
async fn late(
    layout: &Layout,
    conn: &mut PgConnection,
    window: Window<'_>,
    slice: &Slice,
    interest: &Interest,
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    let slice_of_few = slice.condition("(hash + 0)");
    let upto = layout.shown_in(window.upto, "$4::text")?;
    let render =
        |template: &str| layout.sql(&template.replace("{slice}", &slice_of_few).replace("{upto}", &upto), interest);
    let rest = |query| bound(query, window, window.after, slice, interest, limit);
    match (&window.seen.shown, layout) {
        (Shown::Transactions { snapshot, next_xid }, Layout::Own(_)) => {
            let (listed, xmax) = not_ended(snapshot);
            let query = rest(sqlx::query(render(LATE)))
                .bind(window.seen.floor)
                .bind(listed)
                .bind(xmax)
                .bind(next_xid.to_string());
            fill(query.fetch(&mut *conn), interest, limit, into).await
        }
        (Shown::Snapshot(snapshot), Layout::Foreign(_)) => {
            let (listed, xmax) = not_ended(snapshot);
            let query = rest(sqlx::query(render(LATE_BY_XID))).bind(window.seen.floor).bind(listed).bind(xmax);
            fill(query.fetch(&mut *conn), interest, limit, into).await
        }
        (Shown::Positions { missing }, Layout::Foreign(_)) => {
            let query = rest(sqlx::query(render(MISSING))).bind(missing);
            fill(query.fetch(&mut *conn), interest, limit, into).await
        }
        _ => Err(wrong_kind()),
    }
}

/// The transactions that had not ended, for statements: those that were in progress, and the first of those that had
/// not begun.
pub(super) fn not_ended(snapshot: &Snapshot) -> (Vec<String>, String) {
    (snapshot.in_progress().iter().map(u64::to_string).collect(), snapshot.xmax().to_string())
}

type PgQuery<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bound<'q>(
    query: PgQuery<'q>,
    window: Window<'_>,
    after: Position,
    slice: &'q Slice,
    interest: &'q Interest,
    limit: usize,
) -> PgQuery<'q> {
    query
        .bind(after)
        .bind(slice.residues.as_slice())
        .bind(window.seen.to_string())
        .bind(window.upto.to_string())
        .bind(interest.aggregate_types.as_deref())
        .bind(interest.event_types.as_deref())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
}

async fn fill(
    mut rows: impl futures_util::Stream<Item = Result<PgRow, sqlx::Error>> + Unpin,
    interest: &Interest,
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    let mut decoding = Duration::ZERO;
    while let Some(row) = rows.try_next().await? {
        if into.len().is_multiple_of(TIMED_ROWS as usize) {
            let started = Instant::now();
            into.push_row(&row, interest)?;
            decoding += started.elapsed() * TIMED_ROWS;
        } else {
            into.push_row(&row, interest)?;
        }
        if into.len() == limit || into.is_full() {
            return Ok(Read { complete: false, decoding });
        }
    }
    Ok(Read { complete: true, decoding })
}
