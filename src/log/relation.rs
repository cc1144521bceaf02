//! The events of a batch as a relation that SQL can read, the view `batch` of the worker's session; and what must hold
//! of events that are applied without having been read.
//!
//! What a view shows is in settings of the transaction, so that it is made once per session and not once per batch.

use super::{Fence, Interest, Slice, Snapshot};
use crate::database::{Schema, literal};
use crate::hash::IdHash;
use crate::number::Position;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection, Row};

const VIEW: &str = include_str!("relation.sql");
const SOUND: &str = include_str!("sound.sql");

/// The events of these positions, which were read.
const LISTED: &str = "position = ANY (current_setting('evenfold_batch.positions')::bigint[])";

/// The text of the view that the session has; it is lost with the view, also by a rollback.
const MADE: &str = "coalesce(current_setting('evenfold_batch.view', true), '')";

/// The fences between which a window is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Between {
    /// What is visible in it was applied before.
    pub seen: Fence,
    /// What is not visible in it comes later.
    pub upto: Fence,
}

impl Between {
    /// Both as snapshots, of evenfold's own log.
    pub(crate) fn snapshots(&self) -> Result<(&Snapshot, &Snapshot), sqlx::Error> {
        self.seen.snapshot().zip(self.upto.snapshot()).ok_or_else(super::layout::wrong_kind)
    }
}

/// A part of a window that lies above the floor of its beginning, and not above that of its end: the positions in it
/// are all that it has of them, so nobody needs to have read it to know where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The window.
    pub between: Between,
    /// Positions above this one.
    pub after: Position,
    /// Positions up to this one.
    pub to: Position,
    /// Of these hashes.
    pub slice: Slice,
}

impl Span {
    /// How many positions it has: the most events.
    #[must_use]
    pub fn positions(&self) -> usize {
        usize::try_from(self.to.get() - self.after.get()).unwrap_or_default()
    }
}

/// What was found out about a span before it is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many of its events are wanted.
    pub events: usize,
    /// Whether none of them has to be looked at: each has the hash of its aggregate and a size that can be
    /// read, and follows the version before it, which is in the span or was applied.
    pub sound: bool,
}

/// Makes the view `batch` show the events at these positions.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Part of the caller's transaction, in which it must be.
pub async fn show_listed(
    schema: &Schema,
    conn: &mut PgConnection,
    positions: &[Position],
    session: &[(&str, &str)],
) -> Result<(), sqlx::Error> {
    let listed: Vec<String> = positions.iter().map(ToString::to_string).collect();
    let view = schema.text(VIEW).replace("{events}", LISTED);
    show(conn, &view, &[("positions", format!("{{{}}}", listed.join(",")))], session).await
}

/// Makes the view `batch` show the events of a span that are wanted.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Part of the caller's transaction, in which it must be.
pub async fn show_span(
    schema: &Schema,
    conn: &mut PgConnection,
    span: &Span,
    interest: &Interest,
    session: &[(&str, &str)],
) -> Result<(), sqlx::Error> {
    let (seen, upto) = span.between.snapshots()?;
    let view = schema.text(VIEW).replace("{events}", &span_condition((seen, upto), span, interest));
    let settings =
        [("after", span.after.to_string()), ("to", span.to.to_string()), ("seen", bound(seen)), ("upto", bound(upto))];
    show(conn, &view, &settings, session).await
}

/// Sets what the view shows, and the rest of the session for the transaction, and makes the view where the session has
/// another one or none.
pub(super) async fn show(
    conn: &mut PgConnection,
    view: &str,
    settings: &[(&str, String)],
    session: &[(&str, &str)],
) -> Result<(), sqlx::Error> {
    let names = settings.iter().map(|(name, _)| format!("evenfold_batch.{name}"));
    let names = names.chain(session.iter().map(|(name, _)| (*name).to_owned()));
    let set = (2..).zip(names).map(|(at, name)| format!(", set_config({}, ${at}, true)", literal(&name)));
    let sql = format!("SELECT {MADE} = $1{}", set.collect::<String>());
    let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(view);
    let query = settings.iter().fold(query, |query, (_, value)| query.bind(value));
    let query = session.iter().fold(query, |query, (_, value)| query.bind(*value));
    let is_made: bool = query.fetch_one(&mut *conn).await?;
    if !is_made {
        sqlx::raw_sql(AssertSqlSafe(view.to_owned())).execute(&mut *conn).await?;
        sqlx::query("SELECT set_config('evenfold_batch.view', $1, false)").bind(view).execute(conn).await?;
    }
    Ok(())
}

/// The bounds are stable functions, which the planner knows the values of.
fn span_condition((seen, upto): (&Snapshot, &Snapshot), span: &Span, interest: &Interest) -> String {
    let mut condition = format!(
        "position > current_setting('evenfold_batch.after')::bigint
       AND position <= current_setting('evenfold_batch.to')::bigint
       AND {}
       AND NOT {}
       AND {}",
        span.slice.literal("hash"),
        visible(seen, "xid", "current_setting('evenfold_batch.seen')"),
        visible(upto, "xid", "current_setting('evenfold_batch.upto')"),
    );
    for (column, types) in [("aggregate_type", &interest.aggregate_types), ("event_type", &interest.event_types)] {
        if let Some(types) = types {
            let types: Vec<String> = types.iter().map(|one| literal(one)).collect();
            let types = types.join(", ");
            condition = format!("{condition}\n       AND {column} = ANY (ARRAY[{types}]::text[])");
        }
    }
    condition
}

/// Whether a transaction is visible in a snapshot of which [`bound`] is the value. Both are asked for each row: where
/// nobody was in progress, a comparison takes a fifth of the time that the function takes.
///
/// The value is an uncorrelated subquery, so that its text is parsed once and not for each row; and what is compared is
/// no condition that an index on the transactions could be walked for.
fn visible(snapshot: &Snapshot, xid: &str, value: &str) -> String {
    if *snapshot == Snapshot::before_all() {
        format!("({value} IS NULL)")
    } else if snapshot.in_progress().is_empty() {
        format!("(({xid} < (SELECT {value}::xid8)) IS TRUE)")
    } else {
        format!("pg_visible_in_snapshot({xid}, (SELECT {value}::pg_snapshot))")
    }
}

fn bound(snapshot: &Snapshot) -> String {
    if snapshot.in_progress().is_empty() { snapshot.xmax().to_string() } else { snapshot.to_string() }
}

/// Looks at a span without reading what its events contain: one pass, grouped by aggregate.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn check_span(
    schema: &Schema,
    conn: &mut PgConnection,
    span: &Span,
    interest: &Interest,
) -> Result<Checked, sqlx::Error> {
    let (seen, upto) = span.between.snapshots()?;
    let sql = SOUND
        .replace("{slice}", &span.slice.condition("hash"))
        .replace("{too_large}", super::layout::IS_TOO_LARGE)
        .replace("{seen}", &visible(seen, "xid", "$3::text"))
        .replace("{upto}", &visible(upto, "xid", "$4::text"))
        .replace("{p_seen}", &visible(seen, "p.xid", "$3::text"))
        .replace("{p_upto}", &visible(upto, "p.xid", "$4::text"));
    let mut rows = sqlx::query(schema.sql(sql))
        .bind(span.after)
        .bind(span.slice.residues())
        .bind(bound(seen))
        .bind(bound(upto))
        .bind(interest.aggregate_types.as_deref())
        .bind(interest.event_types.as_deref())
        .bind(span.to)
        .fetch(conn);
    let mut checked = Checked { events: 0, sound: true };
    while let Some(row) = rows.try_next().await? {
        let (id, hash): (&str, i64) = (row.try_get_unchecked(0)?, row.try_get_unchecked(1)?);
        let (wanted, sound): (i64, bool) = (row.try_get_unchecked(2)?, row.try_get_unchecked(3)?);
        checked.events += usize::try_from(wanted).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        checked.sound &= sound && IdHash::of(id) == IdHash::from_sql(hash);
    }
    Ok(checked)
}
