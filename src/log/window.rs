//! A window: the events that one snapshot shows and an earlier fence does not, and how rows of it are read.

use super::{EventBuffer, Fence, Interest, Layout};
use crate::class::Class;
use crate::number::Position;
use futures_util::TryStreamExt;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use std::time::{Duration, Instant};

const RANGE: &str = include_str!("range.sql");

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

/// Adds events of the window in the order of their positions: those that meet a condition, up to a position.
pub(super) async fn range(
    layout: &Layout,
    conn: &mut PgConnection,
    window: Window<'_>,
    (not_seen, until): (&str, Option<Position>),
    (slice, interest): (&Slice, &Interest),
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    let range = RANGE
        .replace("{slice}", &slice.condition("hash"))
        .replace("{not_seen}", not_seen)
        .replace("{upto}", &layout.shown_in(window.upto, "$4::text")?)
        .replace("{until}", if until.is_some() { " AND position <= $8" } else { "" });
    let mut query = bound(sqlx::query(layout.sql(&range, interest)), window, slice, interest, limit - into.len());
    if let Some(until) = until {
        query = query.bind(until);
    }
    fill(query.fetch(&mut *conn), interest, limit, into).await
}

type PgQuery<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

pub(super) fn bound<'q>(
    query: PgQuery<'q>,
    window: Window<'_>,
    slice: &'q Slice,
    interest: &'q Interest,
    limit: usize,
) -> PgQuery<'q> {
    query
        .bind(window.after)
        .bind(slice.residues.as_slice())
        .bind(window.seen.to_string())
        .bind(window.upto.to_string())
        .bind(interest.aggregate_types.as_deref())
        .bind(interest.event_types.as_deref())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
}

pub(super) async fn fill(
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
