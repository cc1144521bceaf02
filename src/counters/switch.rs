//! Putting rebuilt counters in the place of those in use, in SQL.

use super::{NAME, REBUILD};
use crate::checkpoint;
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
    if let Some(earlier) = checkpoint::definition_of(schema, &mut tx, REBUILD).await?
        && (earlier != definition || !checkpoint::is_whole(schema, &mut tx, REBUILD).await?)
    {
        forget_rebuild(schema, &mut tx).await?;
    }
    tx.commit().await
}

/// Abandons a rebuild that is not complete, in the caller's transaction: the next one begins at the start.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn forget_rebuild(schema: &Schema, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    checkpoint::start_over(schema, &mut *tx, REBUILD).await?;
    sqlx::raw_sql(schema.sql("TRUNCATE evenfold.counters_rebuild")).execute(tx).await?;
    Ok(())
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
                 IS DISTINCT FROM (excluded.events, excluded.value, excluded.version, excluded.last_position)",
    ))
    .execute(&mut *tx)
    .await?;
    checkpoint::take_place_of(schema, &mut *tx, NAME, REBUILD, definition).await?;
    forget_rebuild(schema, tx).await
}
