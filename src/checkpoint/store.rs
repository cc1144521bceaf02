use super::{Checkpoint, OpenWindow};
use crate::class::Class;
use crate::event::Aggregate;
use crate::hash::IdHash;
use crate::log::Fence;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};
use std::str::FromStr;
use uuid::Uuid;

/// A checkpoint as it was read: it may be written as long as nobody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// How far the class has come.
    pub checkpoint: Checkpoint,
    /// Which state of the row this is. Every change gives it another one, never used before.
    pub revision: i64,
    /// The worker that wrote it last.
    pub owner: Option<Uuid>,
}

/// Why a worker can't work on a projection.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The projection was begun with other settings.
    #[error(
        "the projection {projection} was begun with ({stored}) and this worker was given ({given}): \
         give it the same settings"
    )]
    OtherDefinition {
        /// Its name.
        projection: String,
        /// What it was begun with.
        stored: String,
        /// What this worker was given.
        given: String,
    },
    /// The projection is kept in another number of partitions.
    #[error(
        "the projection {projection} is kept in {found} partitions, and this worker was told {given}: \
         start it with --total-partitions={found}"
    )]
    OtherTotal {
        /// Its name.
        projection: String,
        /// The number it is kept in.
        found: i64,
        /// The number this worker was told.
        given: u32,
    },
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Begins a projection with all partitions of the class's total, or checks that it was begun like this.
///
/// # Errors
///
/// See [`RegisterError`].
///
/// # Cancel safety
///
/// One transaction.
pub async fn register(
    conn: &mut PgConnection,
    projection: &str,
    definition: &str,
    class: Class,
) -> Result<(), RegisterError> {
    let mut tx = conn.begin().await?;
    sqlx::query("INSERT INTO projections (name, definition) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(projection)
        .bind(definition)
        .execute(&mut *tx)
        .await?;
    // Locked: of two workers that begin with different totals, the second must see the rows of the first.
    let stored: String = sqlx::query_scalar("SELECT definition FROM projections WHERE name = $1 FOR UPDATE")
        .bind(projection)
        .fetch_one(&mut *tx)
        .await?;
    if stored != definition {
        let (projection, given) = (projection.to_owned(), definition.to_owned());
        return Err(RegisterError::OtherDefinition { projection, stored, given });
    }
    let total = i64::from(class.modulus());
    let found: Option<i64> = sqlx::query_scalar("SELECT max(modulus) FROM checkpoints WHERE projection = $1")
        .bind(projection)
        .fetch_one(&mut *tx)
        .await?;
    match found {
        None => {
            sqlx::query(
                "INSERT INTO checkpoints (projection, modulus, residue) SELECT $1, $2, generate_series(0, $2 - 1)",
            )
            .bind(projection)
            .bind(total)
            .execute(&mut *tx)
            .await?;
        }
        Some(found) if found != total => {
            return Err(RegisterError::OtherTotal { projection: projection.to_owned(), found, given: class.modulus() });
        }
        Some(_) => {}
    }
    tx.commit().await?;
    Ok(())
}

/// Reads the checkpoint of a class; none if the projection's rows are of another modulus.
///
/// # Cancel safety
///
/// Reads only.
pub async fn load(conn: &mut PgConnection, projection: &str, class: Class) -> Result<Option<Held>, sqlx::Error> {
    sqlx::query(
        "SELECT seen::text, floor, next_xid::text, upto::text, upto_floor, upto_next_xid::text, cursor, revision, owner
         FROM checkpoints WHERE projection = $1 AND modulus = $2 AND residue = $3",
    )
    .bind(projection)
    .bind(i64::from(class.modulus()))
    .bind(i64::from(class.residue()))
    .fetch_optional(conn)
    .await?
    .map(|row| decode(&row))
    .transpose()
}

fn decode(row: &PgRow) -> Result<Held, sqlx::Error> {
    let window = match fence(row, 3)? {
        Some(upto) => Some(OpenWindow { upto, cursor: row.try_get(6)? }),
        None => None,
    };
    // The first fence is NOT NULL.
    let seen = fence(row, 0)?.unwrap_or_else(Fence::before_all);
    Ok(Held { checkpoint: Checkpoint { seen, window }, revision: row.try_get(7)?, owner: row.try_get(8)? })
}

/// The fence in three columns, from this one on.
fn fence(row: &PgRow, at: usize) -> Result<Option<Fence>, sqlx::Error> {
    fn parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(text: &str) -> Result<T, sqlx::Error> {
        text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
    }
    let Some(snapshot) = row.try_get::<Option<&str>, _>(at)? else {
        return Ok(None);
    };
    let (floor, next_xid) = (row.try_get(at + 1)?, row.try_get(at + 2)?);
    Ok(Some(Fence { floor, snapshot: parsed(snapshot)?, next_xid: parsed(next_xid)? }))
}

/// Writes a checkpoint if the row still has this revision, and gives its new revision; none if somebody else was
/// first. Call it first in the transaction that applies the events: whoever comes second then waits here, before it
/// has written anything, and rolls back.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn commit(
    tx: &mut PgConnection,
    projection: &str,
    class: Class,
    checkpoint: &Checkpoint,
    revision: i64,
    owner: Uuid,
) -> Result<Option<i64>, sqlx::Error> {
    let open = checkpoint.window.as_ref();
    sqlx::query_scalar(
        "UPDATE checkpoints
         SET seen = $5::text::pg_snapshot, floor = $6, next_xid = $7::text::xid8, upto = $8::text::pg_snapshot,
             upto_floor = $9, upto_next_xid = $10::text::xid8, cursor = $11, owner = $12, moved_at = now(), revision = nextval('checkpoint_revisions')
         WHERE projection = $1 AND modulus = $2 AND residue = $3 AND revision = $4
         RETURNING revision",
    )
    .bind(projection)
    .bind(i64::from(class.modulus()))
    .bind(i64::from(class.residue()))
    .bind(revision)
    .bind(checkpoint.seen.snapshot.to_string())
    .bind(checkpoint.seen.floor)
    .bind(checkpoint.seen.next_xid.to_string())
    .bind(open.map(|open| open.upto.snapshot.to_string()))
    .bind(open.map(|open| open.upto.floor))
    .bind(open.map(|open| open.upto.next_xid.to_string()))
    .bind(open.map(|open| open.cursor))
    .bind(owner)
    .fetch_optional(tx)
    .await
}

/// Locks the checkpoints that an aggregate's parked events belong to until the transaction ends, and gives them a new
/// revision: a worker that is in the middle of a batch rolls back and reads everything anew.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn lock_and_bump(tx: &mut PgConnection, projection: &str, aggregate: &Aggregate) -> Result<(), sqlx::Error> {
    // By the hashes as they are stored: an event can be parked because its hash is not that of its aggregate.
    sqlx::query(
        "UPDATE checkpoints c SET revision = nextval('checkpoint_revisions')
         WHERE projection = $1 AND ($4 % modulus = residue OR EXISTS (
             SELECT FROM parked_events p WHERE p.projection = $1 AND p.dropped_at IS NULL
                 AND p.aggregate_type = $2 AND p.aggregate_id = $3 AND p.hash % c.modulus = c.residue))",
    )
    .bind(projection)
    .bind(&aggregate.aggregate_type)
    .bind(&aggregate.aggregate_id)
    .bind(IdHash::of(&aggregate.aggregate_id).to_sql())
    .execute(tx)
    .await?;
    Ok(())
}

/// Sets every checkpoint to the end of the log, in the transaction of a repair, which has locked it. Gives the number
/// of projections.
pub(crate) async fn complete_all(tx: &mut PgConnection) -> Result<u64, sqlx::Error> {
    // With the log locked this is a fence like any other, also within a transaction (which is READ COMMITTED).
    let Fence { floor, snapshot, next_xid } = Fence::take(&mut *tx).await?;
    sqlx::query(
        "UPDATE checkpoints SET seen = $1::text::pg_snapshot, floor = $2, next_xid = $3::text::xid8,
             upto = NULL, upto_floor = NULL, upto_next_xid = NULL, cursor = NULL, revision = nextval('checkpoint_revisions')",
    )
    .bind(snapshot.to_string())
    .bind(floor)
    .bind(next_xid.max(snapshot.xmax()).to_string())
    .execute(&mut *tx)
    .await?;
    let projections: i64 = sqlx::query_scalar("SELECT count(*) FROM projections").fetch_one(tx).await?;
    Ok(projections.unsigned_abs())
}

/// Forgets a projection: its checkpoints and its parked events. Its read model is the caller's to empty, in the same
/// transaction.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn start_over(tx: &mut PgConnection, projection: &str) -> Result<bool, sqlx::Error> {
    let gone = sqlx::query("DELETE FROM projections WHERE name = $1").bind(projection).execute(tx).await?;
    Ok(gone.rows_affected() > 0)
}
