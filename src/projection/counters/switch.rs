//! Putting rebuilt counters in the place of those in use, in SQL.

use super::{NAME, REBUILD};
use sqlx::PgConnection;

/// Begins a rebuild, or goes on with one, once its projection is registered: what operators have dropped stays dropped.
pub(in crate::projection) async fn begin(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO parked_events (projection, position, aggregate_type, aggregate_id, version, hash, reason, dropped_at)
         SELECT $2, position, aggregate_type, aggregate_id, version, hash, reason, dropped_at
         FROM parked_events WHERE projection = $1 AND dropped_at IS NOT NULL
         ON CONFLICT (projection, position) DO NOTHING",
    )
    .bind(NAME)
    .bind(REBUILD)
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives up a rebuild that is not complete, in the caller's transaction: the next one begins at the start.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub async fn forget_rebuild(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    crate::checkpoint::start_over(&mut *tx, REBUILD).await?;
    sqlx::raw_sql("TRUNCATE counters_rebuild").execute(tx).await?;
    Ok(())
}

/// Locks the checkpoints in use until the transaction ends: nobody applies anything meanwhile. Gives their number.
pub(in crate::projection) async fn lock(tx: &mut PgConnection) -> Result<usize, sqlx::Error> {
    // The projection as well, so that no change of partitions puts other rows in their place.
    sqlx::query("SELECT FROM projections WHERE name = $1 FOR NO KEY UPDATE").bind(NAME).execute(&mut *tx).await?;
    let rows = sqlx::query("SELECT FROM checkpoints WHERE projection = $1 ORDER BY modulus, residue FOR UPDATE")
        .bind(NAME)
        .fetch_all(tx)
        .await?;
    Ok(rows.len())
}

/// Makes the rebuilt counters, what is parked and how far that is those in use, and removes the rebuild. The checkpoints
/// in use must be locked, and the rebuild must have caught up since.
pub(in crate::projection) async fn switch(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Only what differs: of a read model that was right, nothing is written.
    sqlx::raw_sql(
        "DELETE FROM counters c WHERE NOT EXISTS (SELECT FROM counters_rebuild r
             WHERE r.aggregate_type = c.aggregate_type AND r.aggregate_id = c.aggregate_id);
         INSERT INTO counters AS c SELECT * FROM counters_rebuild
         ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET events = excluded.events, value = excluded.value,
             version = excluded.version, last_position = excluded.last_position
             WHERE (c.events, c.value, c.version, c.last_position)
                 IS DISTINCT FROM (excluded.events, excluded.value, excluded.version, excluded.last_position);
         DELETE FROM parked_events WHERE projection = 'counters';
         UPDATE parked_events SET projection = 'counters' WHERE projection = 'counters.rebuild';
         UPDATE checkpoints c SET seen = r.seen, floor = r.floor, next_xid = r.next_xid, upto = r.upto,
             upto_floor = r.upto_floor, upto_next_xid = r.upto_next_xid, cursor = r.cursor, moved_at = now(),
             revision = nextval('checkpoint_revisions')
         FROM checkpoints r WHERE c.projection = 'counters' AND r.projection = 'counters.rebuild';
         DELETE FROM projections WHERE name = 'counters.rebuild';
         TRUNCATE counters_rebuild",
    )
    .execute(tx)
    .await?;
    Ok(())
}
