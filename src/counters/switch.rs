//! Putting rebuilt counters in the place of those in use, in SQL.

use super::{NAME, REBUILD};
use crate::checkpoint;
use crate::class::{Class, is_exact_cover};
use crate::database::Schema;
use sqlx::{Connection, PgConnection};

/// Makes this connection the only one that rebuilds, until it ends. False if another one is.
pub(super) async fn claim(schema: &Schema, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(schema.sql("SELECT pg_try_advisory_lock('evenfold.counters_rebuild'::regclass::oid::bigint)"))
        .fetch_one(conn)
        .await
}

/// Begins anew where an earlier rebuild is not complete and can't be gone on with: it had another definition than this
/// one, or its checkpoint is gone.
pub(super) async fn prepare(schema: &Schema, conn: &mut PgConnection, definition: &str) -> Result<(), sqlx::Error> {
    let mut tx = conn.begin().await?;
    if let Some(earlier) = checkpoint::definition_of(schema, &mut tx, REBUILD).await? {
        let classes = checkpoint::classes(schema, &mut tx, REBUILD).await?;
        if earlier != definition || !is_exact_cover(class(0, 1)?, &classes) {
            forget_rebuild(schema, &mut tx).await?;
        }
    }
    tx.commit().await
}

fn class(key: u32, total: u32) -> Result<Class, sqlx::Error> {
    Class::partition(key, total).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Begins a rebuild, or goes on with one, once its projection is registered: what operators have dropped stays dropped.
pub(super) async fn begin(schema: &Schema, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        schema.sql("INSERT INTO evenfold.parked_events (projection, position, aggregate_type, aggregate_id, version, hash, reason, dropped_at)
         SELECT $2, position, aggregate_type, aggregate_id, version, hash, reason, dropped_at
         FROM evenfold.parked_events WHERE projection = $1 AND dropped_at IS NOT NULL
         ON CONFLICT (projection, position) DO NOTHING"),
    )
    .bind(NAME)
    .bind(REBUILD)
    .execute(conn)
    .await?;
    Ok(())
}

/// Abandons a rebuild that is not complete, in the caller's transaction: the next one begins at the start.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn forget_rebuild(schema: &Schema, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    crate::checkpoint::start_over(schema, &mut *tx, REBUILD).await?;
    sqlx::raw_sql(schema.sql("TRUNCATE evenfold.counters_rebuild")).execute(tx).await?;
    Ok(())
}

/// Locks the checkpoints in use until the transaction ends: nobody applies anything meanwhile. Gives the definition of
/// the counters in use; none if there are none.
pub(super) async fn lock(schema: &Schema, tx: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    // The projection as well, so that no change of partitions puts other rows in their place.
    let definition =
        sqlx::query_scalar(schema.sql("SELECT definition FROM evenfold.projections WHERE name = $1 FOR NO KEY UPDATE"))
            .bind(NAME)
            .fetch_optional(&mut *tx)
            .await?;
    sqlx::query(
        schema.sql("SELECT FROM evenfold.checkpoints WHERE projection = $1 ORDER BY modulus, residue FOR UPDATE"),
    )
    .bind(NAME)
    .execute(tx)
    .await?;
    Ok(definition)
}

/// The classes that the counters in use are to have: those that they have, or, where rows were removed or added by
/// hand, the present partitions.
async fn restored(schema: &Schema, tx: &mut PgConnection) -> Result<Vec<Class>, sqlx::Error> {
    let present = checkpoint::classes(schema, &mut *tx, NAME).await?;
    if is_exact_cover(class(0, 1)?, &present) {
        return Ok(present);
    }
    let total = checkpoint::total_partitions(schema, tx, NAME).await?.unwrap_or(1);
    (0..total).map(|key| class(key, total)).collect()
}

/// Makes the rebuilt counters, their definition, what is parked and how far that is those in use, and removes the
/// rebuild. The checkpoints in use must be locked, and the rebuild must have caught up since.
pub(super) async fn switch(schema: &Schema, tx: &mut PgConnection, definition: &str) -> Result<(), sqlx::Error> {
    // Only what differs: of a read model that was right, nothing is written.
    sqlx::raw_sql(schema.sql(
        "DELETE FROM evenfold.counters c WHERE NOT EXISTS (SELECT FROM evenfold.counters_rebuild r
             WHERE r.aggregate_type = c.aggregate_type AND r.aggregate_id = c.aggregate_id);
         INSERT INTO evenfold.counters AS c SELECT * FROM evenfold.counters_rebuild
         ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET events = excluded.events, value = excluded.value,
             version = excluded.version, last_position = excluded.last_position
             WHERE (c.events, c.value, c.version, c.last_position)
                 IS DISTINCT FROM (excluded.events, excluded.value, excluded.version, excluded.last_position);
         DELETE FROM evenfold.parked_events WHERE projection = 'counters';
         UPDATE evenfold.parked_events SET projection = 'counters' WHERE projection = 'counters.rebuild'",
    ))
    .execute(&mut *tx)
    .await?;
    let classes = restored(schema, &mut *tx).await?;
    checkpoint::replace_all(schema, &mut *tx, NAME, REBUILD, &classes).await?;
    // With the fresh revisions: workers with another definition read their rows again, compare, and end.
    sqlx::query(schema.sql("UPDATE evenfold.projections SET definition = $2 WHERE name = $1 AND definition <> $2"))
        .bind(NAME)
        .bind(definition)
        .execute(&mut *tx)
        .await?;
    forget_rebuild(schema, tx).await
}
