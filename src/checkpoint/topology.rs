//! How many partitions a projection has: who may change it, and what a change does to the checkpoints.

use super::definition::check_cover;
use super::error::RegisterError;
use super::heartbeat;
use super::store::class_of;
use crate::class::Class;
use crate::database::Schema;
use crate::invariant::broken;
use sqlx::{PgConnection, Row};
use std::time::Duration;

/// What a worker may do when the projection has another number of partitions than its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// Take over, unless its own number was replaced less than this long ago by one of which a worker is
    /// [alive](heartbeat::alive).
    After(Duration),
    /// Take over at once.
    Now,
    /// Not if its own number was replaced.
    Never,
}

/// What came of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// The projection has the worker's number of partitions, and the rows inside its own are all of it.
    Ready,
    /// The projection has gone on with another number of partitions.
    Superseded {
        /// With how many.
        by: u32,
        /// After how long the worker may take over at the latest, if it still wants to: at once when none of the others
        /// is alive any more.
        retry_in: Duration,
    },
}

/// Begins a projection, or joins it, in the caller's transaction: makes this worker's number of partitions the
/// projection's, if it may, and splits the checkpoints that are not inside its partition or around it. Says whether the
/// projection was begun by this: of several that begin it at the same time, all but one wait for the end of the first
/// one's transaction.
///
/// # Errors
///
/// See [`RegisterError`]. Roll the transaction back then.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn register(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    definition: &str,
    partition: Class,
    takeover: Takeover,
) -> Result<(Registered, bool), RegisterError> {
    let begun = sqlx::query(
        schema.sql("INSERT INTO evenfold.projections (name, definition) VALUES ($1, $2) ON CONFLICT DO NOTHING"),
    )
    .bind(projection)
    .bind(definition)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    // Locked until the end: changes of one projection's partitions happen one after the other.
    let stored: String =
        sqlx::query_scalar(schema.sql("SELECT definition FROM evenfold.projections WHERE name = $1 FOR NO KEY UPDATE"))
            .bind(projection)
            .fetch_one(&mut *tx)
            .await?;
    if stored != definition {
        return Err(RegisterError::other(projection, stored, definition));
    }
    // Only with the projection itself. One without checkpoints has lost them, and its read model must not be folded
    // again from the start on top of what it has.
    if begun > 0 {
        // Not while events are erased: `evenfold.erase` waits for the checkpoints that it sees.
        let lock =
            "SELECT pg_advisory_xact_lock_shared(hashtext('evenfold erase'), 'evenfold.events'::regclass::oid::int)";
        sqlx::query(schema.sql(lock)).execute(&mut *tx).await?;
        sqlx::query(schema.sql("INSERT INTO evenfold.checkpoints (projection, modulus, residue) VALUES ($1, 1, 0)"))
            .bind(projection)
            .execute(&mut *tx)
            .await?;
    }
    let registered = apply_takeover(schema, tx, projection, partition.modulus(), takeover).await?;
    if registered == Registered::Ready {
        split(schema, tx, projection, partition).await?;
        // In a snapshot of its own, since a merge may have put a row that `split` did not see in the place of one that
        // it did: what is missing then was removed by somebody else.
        check_cover(schema, tx, projection, partition).await?;
    }
    Ok((registered, begun > 0))
}

/// The number of partitions that a projection has now; none before its first worker.
pub(crate) async fn total_partitions(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
) -> Result<Option<u32>, sqlx::Error> {
    let total: Option<i64> = sqlx::query_scalar(
        schema.sql("SELECT total FROM evenfold.topologies WHERE projection = $1 AND superseded_at IS NULL"),
    )
    .bind(projection)
    .fetch_optional(conn)
    .await?;
    total.map(|total| u32::try_from(total).map_err(|_| broken("a total has 32 bits"))).transpose()
}

async fn apply_takeover(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    total: u32,
    takeover: Takeover,
) -> Result<Registered, sqlx::Error> {
    let current = total_partitions(schema, tx, projection).await?;
    if current == Some(total) {
        return Ok(Registered::Ready);
    }
    // By the database's clock alone: those of the workers' machines may differ.
    let ago: Option<f64> = sqlx::query_scalar(
        schema.sql("SELECT extract(epoch FROM now() - superseded_at)::float8 FROM evenfold.topologies WHERE projection = $1 AND total = $2"),
    )
    .bind(projection)
    .bind(i64::from(total))
    .fetch_optional(&mut *tx)
    .await?;
    if let (Some(by), Some(ago)) = (current, ago) {
        let grace = match takeover {
            Takeover::Now => Duration::ZERO,
            Takeover::After(grace) => grace,
            Takeover::Never => Duration::MAX,
        };
        let retry_in = grace.saturating_sub(Duration::try_from_secs_f64(ago).unwrap_or_default());
        // The grace time is for replicas that are restarted by mistake while the others run. One that registers leaves
        // its heartbeat in the same transaction, so no moment is between the two in which it counts as dead. One that
        // is paused may do so all the same: see `DEAD_AFTER`.
        if !retry_in.is_zero()
            && (takeover == Takeover::Never
                || heartbeat::alive(schema, tx, projection, by, None, None).await?.is_some())
        {
            return Ok(Registered::Superseded { by, retry_in });
        }
    }
    sqlx::query(
        schema.sql(
            "UPDATE evenfold.topologies SET superseded_at = now() WHERE projection = $1 AND superseded_at IS NULL",
        ),
    )
    .bind(projection)
    .execute(&mut *tx)
    .await?;
    sqlx::query(schema.sql(
        "INSERT INTO evenfold.topologies (projection, total) VALUES ($1, $2)
         ON CONFLICT (projection, total) DO UPDATE SET since = now(), superseded_at = NULL",
    ))
    .bind(projection)
    .bind(i64::from(total))
    .execute(tx)
    .await?;
    Ok(Registered::Ready)
}

/// Replaces every row that overlaps the partition and is not inside it by its cells, each with the row's checkpoint and
/// a revision of its own: whoever works on the row finds it gone at the next commit, and rolls back.
async fn split(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    partition: Class,
) -> Result<(), RegisterError> {
    let rows = sqlx::query(schema.sql(
        "SELECT modulus, residue FROM evenfold.checkpoints WHERE projection = $1 ORDER BY modulus, residue FOR UPDATE",
    ))
    .bind(projection)
    .fetch_all(&mut *tx)
    .await?;
    for row in &rows {
        let class = class_of(row, 0)?;
        if !class.overlaps(partition) || class.is_inside(partition) {
            continue;
        }
        let cells: Vec<Class> = class.cells(partition.modulus())?.collect();
        sqlx::query(schema.sql(
            "INSERT INTO evenfold.checkpoints (projection, modulus, residue, seen, floor, next_xid, missing,
                 upto, upto_floor, upto_next_xid, upto_missing, cursor, moved_at)
             SELECT projection, $4, cell, seen, floor, next_xid, missing,
                 upto, upto_floor, upto_next_xid, upto_missing, cursor, moved_at
             FROM evenfold.checkpoints CROSS JOIN unnest($5::bigint[]) AS cell
             WHERE projection = $1 AND modulus = $2 AND residue = $3",
        ))
        .bind(projection)
        .bind(row.try_get::<i64, _>(0)?)
        .bind(row.try_get::<i64, _>(1)?)
        .bind(cells.first().map_or(1, |cell| i64::from(cell.modulus())))
        .bind(cells.iter().map(|cell| i64::from(cell.residue())).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            schema.sql("DELETE FROM evenfold.checkpoints WHERE projection = $1 AND modulus = $2 AND residue = $3"),
        )
        .bind(projection)
        .bind(row.try_get::<i64, _>(0)?)
        .bind(row.try_get::<i64, _>(1)?)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
