//! Checkpoints as rows: read, moved by whoever has the revision that was read, and merged.

use super::readers::forget_reader;
use super::{Checkpoint, OpenWindow};
use crate::class::Class;
use crate::database::Schema;
use crate::invariant::broken;
use crate::log::{Fence, Shown, Snapshot};
use crate::number::{Position, Revision};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::str::FromStr;
use uuid::Uuid;

/// A checkpoint as it was read: it may be written as long as nobody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Whose it is.
    pub class: Class,
    /// How far the class has come.
    pub checkpoint: Checkpoint,
    /// Which state of the row this is. Every change gives it another one, never used before.
    pub revision: Revision,
    /// The worker that wrote it last.
    pub owner: Option<Uuid>,
}

/// Reads the checkpoints of the classes inside a partition, in the order of their keys.
///
/// # Cancel safety
///
/// Reads only.
pub async fn load(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    partition: Class,
) -> Result<Vec<CheckpointRow>, sqlx::Error> {
    sqlx::query(
        schema.sql("SELECT seen::text, floor, next_xid::text, missing, upto::text, upto_floor, upto_next_xid::text, upto_missing,
                cursor, revision, owner, modulus, residue
         FROM evenfold.checkpoints WHERE projection = $1 AND modulus % $2 = 0 AND residue % $2 = $3 ORDER BY modulus, residue"),
    )
    .bind(projection)
    .bind(i64::from(partition.modulus()))
    .bind(i64::from(partition.residue()))
    .fetch_all(conn)
    .await?
    .iter()
    .map(decode)
    .collect()
}

fn decode(row: &PgRow) -> Result<CheckpointRow, sqlx::Error> {
    let window = match fence(row, 4)? {
        Some(upto) => Some(OpenWindow { upto, cursor: row.try_get(8)? }),
        None => None,
    };
    // Were it taken for the start, everything would be applied again.
    let seen = fence(row, 0)?.ok_or_else(|| broken("a checkpoint has a fence"))?;
    let (class, checkpoint) = (class_of(row, 11)?, Checkpoint { seen, window });
    Ok(CheckpointRow { class, checkpoint, revision: row.try_get(9)?, owner: row.try_get(10)? })
}

/// The class in two columns, modulus and residue, from this one on.
pub(super) fn class_of(row: &PgRow, at: usize) -> Result<Class, sqlx::Error> {
    let number = |at: usize| {
        let number: i64 = row.try_get(at)?;
        u32::try_from(number).map_err(|_| broken("a class has two numbers of 32 bits"))
    };
    Class::partition(number(at + 1)?, number(at)?).map_err(|error| broken(&error.to_string()))
}

/// The fence in four columns, from this one on.
fn fence(row: &PgRow, at: usize) -> Result<Option<Fence>, sqlx::Error> {
    fn parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(text: &str) -> Result<T, sqlx::Error> {
        text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
    }
    let Some(snapshot) = row.try_get::<Option<&str>, _>(at)? else {
        return Ok(None);
    };
    let (floor, next_xid) = (row.try_get(at + 1)?, row.try_get(at + 2)?);
    let snapshot: Snapshot = parsed(snapshot)?;
    Ok(Some(match row.try_get::<Option<Vec<Position>>, _>(at + 3)? {
        Some(missing) if snapshot == Snapshot::before_all() => Fence::of_positions(floor, missing),
        Some(_) => Fence::of_snapshot(floor, snapshot),
        None => Fence::of_transactions(floor, snapshot, parsed(next_xid)?),
    }))
}

/// Writes one checkpoint to rows of a partition, if they still have their revisions, and gives the new ones; none if
/// somebody else was first with any of them: then roll back. Call it first in the transaction that applies the events:
/// whoever comes second waits here, before it has written anything.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn commit(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    rows: &[&CheckpointRow],
    checkpoint: &Checkpoint,
    owner: Uuid,
) -> Result<Option<Vec<Revision>>, sqlx::Error> {
    let open = checkpoint.window.as_ref();
    let (seen, upto) = (FenceColumns::of(&checkpoint.seen), open.map(|open| FenceColumns::of(&open.upto)));
    let (moduli, residues, revisions) = keys(rows);
    let written = sqlx::query(schema.sql(
        "UPDATE evenfold.checkpoints c
         SET seen = $5::text::pg_snapshot, floor = $6, next_xid = $7::text::xid8, missing = $8,
             upto = $9::text::pg_snapshot, upto_floor = $10, upto_next_xid = $11::text::xid8, upto_missing = $12,
             cursor = $13, owner = $14, moved_at = now(), revision = nextval('evenfold.checkpoint_revisions')
         FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS k (modulus, residue, revision)
         WHERE c.projection = $1 AND c.modulus = k.modulus AND c.residue = k.residue AND c.revision = k.revision
         RETURNING c.revision, c.modulus, c.residue",
    ))
    .bind(projection)
    .bind(moduli)
    .bind(residues)
    .bind(revisions)
    .bind(seen.snapshot)
    .bind(seen.floor)
    .bind(seen.next_xid)
    .bind(seen.missing)
    .bind(upto.as_ref().map(|upto| &upto.snapshot))
    .bind(upto.as_ref().map(|upto| upto.floor))
    .bind(upto.as_ref().map(|upto| &upto.next_xid))
    .bind(upto.as_ref().and_then(|upto| upto.missing))
    .bind(open.map(|open| open.cursor))
    .bind(owner)
    .fetch_all(tx)
    .await?;
    let mut given = Vec::with_capacity(rows.len());
    for row in rows {
        let of_this = |written: &&PgRow| class_of(written, 1).is_ok_and(|class| class == row.class);
        match written.iter().find(of_this) {
            Some(written) => given.push(written.try_get(0)?),
            None => return Ok(None),
        }
    }
    Ok(Some(given))
}

/// A fence as a row has it.
pub(super) struct FenceColumns<'a> {
    pub(super) floor: Position,
    pub(super) snapshot: String,
    pub(super) next_xid: String,
    /// None of a fence of evenfold's own log.
    pub(super) missing: Option<&'a [Position]>,
}

impl<'a> FenceColumns<'a> {
    pub(super) fn of(fence: &'a Fence) -> Self {
        let (snapshot, next_xid, missing) = match &fence.shown {
            Shown::Transactions { snapshot, next_xid } => (snapshot.to_string(), next_xid.to_string(), None),
            Shown::Snapshot(snapshot) => (snapshot.to_string(), snapshot.xmax().to_string(), Some(&[][..])),
            Shown::Positions { missing } => (Snapshot::before_all().to_string(), "1".to_owned(), Some(&missing[..])),
        };
        Self { floor: fence.floor, snapshot, next_xid, missing }
    }
}

fn keys(rows: &[&CheckpointRow]) -> (Vec<i64>, Vec<i64>, Vec<Revision>) {
    let moduli = rows.iter().map(|row| i64::from(row.class.modulus())).collect();
    let residues = rows.iter().map(|row| i64::from(row.class.residue())).collect();
    (moduli, residues, rows.iter().map(|row| row.revision).collect())
}

/// Puts one row for the partition in the place of all of its rows, if they still have their revisions, and gives it;
/// none if somebody else was first: then roll back.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn merge(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    rows: &[&CheckpointRow],
    partition: Class,
    checkpoint: Checkpoint,
    owner: Uuid,
) -> Result<Option<CheckpointRow>, sqlx::Error> {
    let (moduli, residues, revisions) = keys(rows);
    let gone = sqlx::query(schema.sql(
        "DELETE FROM evenfold.checkpoints c
         USING unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS k (modulus, residue, revision)
         WHERE c.projection = $1 AND c.modulus = k.modulus AND c.residue = k.residue AND c.revision = k.revision",
    ))
    .bind(projection)
    .bind(moduli)
    .bind(residues)
    .bind(revisions)
    .execute(&mut *tx)
    .await?;
    if gone.rows_affected() != rows.len() as u64 {
        return Ok(None);
    }
    let seen = FenceColumns::of(&checkpoint.seen);
    let revision = sqlx::query_scalar(schema.sql(
        "INSERT INTO evenfold.checkpoints (projection, modulus, residue, seen, floor, next_xid, missing, owner)
         VALUES ($1, $2, $3, $4::text::pg_snapshot, $5, $6::text::xid8, $7, $8) RETURNING revision",
    ))
    .bind(projection)
    .bind(i64::from(partition.modulus()))
    .bind(i64::from(partition.residue()))
    .bind(seen.snapshot)
    .bind(seen.floor)
    .bind(seen.next_xid)
    .bind(seen.missing)
    .bind(owner)
    .fetch_one(tx)
    .await?;
    Ok(Some(CheckpointRow { class: partition, checkpoint, revision, owner: Some(owner) }))
}

/// Makes the checkpoints of a projection that was just begun those of a log that others write: no position is in their
/// fences, whichever way it names its events.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub(crate) async fn begin_elsewhere(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql("UPDATE evenfold.checkpoints SET missing = '{}' WHERE projection = $1"))
        .bind(projection)
        .execute(tx)
        .await
        .map(drop)
}

/// The cluster that the projection's log is on: this one, if none was noted before.
pub(crate) async fn log_server(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    cluster: &str,
) -> Result<String, sqlx::Error> {
    let noted = "UPDATE evenfold.projections SET log_server = $2 WHERE name = $1 AND log_server IS NULL";
    sqlx::query(schema.sql(noted)).bind(projection).bind(cluster).execute(&mut *conn).await?;
    sqlx::query_scalar(schema.sql("SELECT log_server FROM evenfold.projections WHERE name = $1"))
        .bind(projection)
        .fetch_one(conn)
        .await
}

/// Takes whichever server the projection's log is on next for the one whose events were applied. False if the
/// projection is not begun.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// One statement.
pub async fn accept_log_server(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
) -> Result<bool, sqlx::Error> {
    let accepted = sqlx::query(schema.sql("UPDATE evenfold.projections SET log_server = NULL WHERE name = $1"))
        .bind(projection)
        .execute(conn)
        .await?;
    Ok(accepted.rows_affected() > 0)
}

/// Sets every checkpoint to the end of the log, in the transaction of a repair, which has locked it. Gives the number
/// of projections.
pub(crate) async fn complete_all(schema: &Schema, tx: &mut PgConnection) -> Result<u64, sqlx::Error> {
    // With the log locked this is a fence like any other, also within a transaction (which is READ COMMITTED).
    let end = Fence::take(schema, &mut *tx).await?;
    let end = FenceColumns::of(&end);
    sqlx::query(
        schema.sql("UPDATE evenfold.checkpoints SET seen = $1::text::pg_snapshot, floor = $2, next_xid = $3::text::xid8,
             upto = NULL, upto_floor = NULL, upto_next_xid = NULL, cursor = NULL, revision = nextval('evenfold.checkpoint_revisions')
             WHERE missing IS NULL"),
    )
    .bind(end.snapshot)
    .bind(end.floor)
    .bind(end.next_xid)
    .execute(&mut *tx)
    .await?;
    let projections: i64 =
        sqlx::query_scalar(schema.sql("SELECT count(*) FROM evenfold.projections")).fetch_one(tx).await?;
    Ok(projections.unsigned_abs())
}

/// Forgets a projection: its checkpoints and its parked events. Its read model is the caller's to empty, in the same
/// transaction.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn start_over(schema: &Schema, tx: &mut PgConnection, projection: &str) -> Result<bool, sqlx::Error> {
    // By themselves they would go with the projection, but not in a session that passes foreign keys over
    // (session_replication_role), and not where the projection's row was removed in such a one.
    let mut gone = 0;
    for statement in [
        "DELETE FROM evenfold.parked_events WHERE projection = $1",
        "DELETE FROM evenfold.checkpoints WHERE projection = $1",
        "DELETE FROM evenfold.topologies WHERE projection = $1",
        "DELETE FROM evenfold.projections WHERE name = $1",
    ] {
        gone += sqlx::query(schema.sql(statement)).bind(projection).execute(&mut *tx).await?.rows_affected();
    }
    forget_reader(schema, tx, projection).await?;
    Ok(gone > 0)
}
