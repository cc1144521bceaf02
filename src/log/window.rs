//! Reading a window: the events that one snapshot shows and an earlier fence does not.

use super::{EventBuffer, Fence, Interest, Snapshot};
use crate::class::Class;
use crate::database::Schema;
use crate::event::{Envelope, Event, TOO_LARGE};
use crate::hash::IdHash;
use crate::number::Position;
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row, SqlStr};
use std::time::{Duration, Instant};

const RANGE: &str = include_str!("range.sql");
const LATE: &str = include_str!("late.sql");

/// The events that are visible in `upto` and not in `seen`, from some position on.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Where the window begins: what is visible in it has been read before.
    pub seen: &'a Fence,
    /// Where the window ends.
    pub upto: &'a Snapshot,
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
    schema: &Schema,
    conn: &mut PgConnection,
    window: Window<'_>,
    slice: &Slice,
    interest: &Interest,
    limit: usize,
    into: &mut EventBuffer,
) -> Result<Read, sqlx::Error> {
    into.clear();
    let mut decoding = Duration::ZERO;
    let Fence { floor, snapshot: seen, next_xid } = window.seen;
    // Events at or below the floor that were not read before can only be those of transactions that were in progress
    // when the window's start was taken. There are usually none, and they come before all others.
    if !window.seen.is_final() && window.after < *floor {
        let listed: Vec<String> = seen.in_progress().iter().map(u64::to_string).collect();
        let late = statement(schema, LATE, &slice.condition("(hash + 0)"), interest);
        let query = bound(late, window, window.after, slice, interest, limit)
            .bind(floor)
            .bind(listed)
            .bind(seen.xmax().to_string())
            .bind(next_xid.to_string());
        let read = fill(query.fetch(&mut *conn), interest, limit, into).await?;
        if !read.complete {
            return Ok(read);
        }
        decoding = read.decoding;
    }
    let after = window.after.max(*floor);
    let range = statement(schema, RANGE, &slice.condition("hash"), interest);
    let query = bound(range, window, after, slice, interest, limit - into.len());
    let read = fill(query.fetch(&mut *conn), interest, limit, into).await?;
    Ok(Read { decoding: decoding + read.decoding, ..read })
}

/// Whether an event is larger than evenfold takes: its contents stay in the database then, or three of them would take
/// all the memory that a worker has. Rows from before there was a constraint can be.
///
/// A value in which PostgreSQL has 4,096 bytes or fewer can't be: neither of its two ways to compress makes less than a
/// 255th of anything. So most rows are only asked for a number that is at hand, which takes some 50 ns.
macro_rules! too_large {
    () => {
        "(pg_column_size(payload) > 4096 AND octet_length(payload::text) > 1048576
          OR pg_column_size(metadata) > 4096 AND octet_length(metadata::text) > 1048576)"
    };
}

/// Whether an event is too large, as a condition.
pub(super) const IS_TOO_LARGE: &str = too_large!();

/// The payload in a list of columns, for [`decode`]; none where the event is too large.
pub(crate) const PAYLOAD: &str = concat!("CASE WHEN ", too_large!(), " THEN NULL ELSE payload END");

/// What follows it where the envelope is wanted. A time comes as PostgreSQL has it: computing with it fails at
/// infinity.
pub(crate) const ENVELOPE: &str =
    concat!(", event_id, recorded_at, CASE WHEN ", too_large!(), " THEN NULL ELSE metadata END");

/// Columns that only few want: a CASE for them would cost something per row. The transaction comes last.
const XID: &str = ", xid::text::bigint";
const MORE_AT: usize = 7;

pub(super) fn more(interest: &Interest) -> String {
    let more = [(interest.envelope, ENVELOPE), (interest.xid, XID)];
    more.into_iter().filter_map(|(wanted, columns)| wanted.then_some(columns)).collect()
}

fn statement(schema: &Schema, template: &str, slice: &str, interest: &Interest) -> SqlStr {
    schema.sql(template.replace("{slice}", slice).replace("{payload}", PAYLOAD).replace("{more}", &more(interest)))
}

type PgQuery<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bound<'q>(
    sql: SqlStr,
    window: Window<'_>,
    after: Position,
    slice: &'q Slice,
    interest: &'q Interest,
    limit: usize,
) -> PgQuery<'q> {
    sqlx::query(sql)
        .bind(after)
        .bind(slice.residues.as_slice())
        .bind(window.seen.snapshot.to_string())
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
            into.push(&decode(&row, interest.envelope)?);
            decoding += started.elapsed() * TIMED_ROWS;
        } else {
            into.push(&decode(&row, interest.envelope)?);
        }
        if interest.xid {
            let xid: i64 = row.try_get_unchecked(row.len() - 1)?;
            into.push_xid(xid.unsigned_abs());
        }
        if into.len() == limit || into.is_full() {
            return Ok(Read { complete: false, decoding });
        }
    }
    Ok(Read { complete: true, decoding })
}

/// An event of a row with the columns of `range.sql`. Their types are known: looking them up again for each row would
/// be half of what decoding costs.
pub(crate) fn decode(row: &PgRow, envelope: bool) -> Result<Event<'_>, sqlx::Error> {
    let hash: i64 = row.try_get_unchecked(2)?;
    let envelope = if envelope {
        Some(Envelope {
            event_id: row.try_get_unchecked(MORE_AT)?,
            recorded_at: row.try_get_unchecked(MORE_AT + 1)?,
            metadata: row.try_get_unchecked(MORE_AT + 2)?,
        })
    } else {
        None
    };
    Ok(Event {
        position: row.try_get_unchecked(0)?,
        version: row.try_get_unchecked(1)?,
        hash: IdHash::from_sql(hash),
        aggregate_type: row.try_get_unchecked(3)?,
        aggregate_id: row.try_get_unchecked(4)?,
        event_type: row.try_get_unchecked(5)?,
        // PostgreSQL sends the type json as the text that it is, which sqlx would only hand out parsed.
        payload: row.try_get_unchecked::<Option<&str>, _>(6)?.unwrap_or(TOO_LARGE),
        envelope,
    })
}
