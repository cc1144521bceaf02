//! A log that was restored in another cluster: its transaction ids are renumbered.

use crate::checkpoint;
use crate::database::Schema;
use sqlx::{Connection, PgConnection};

/// What a repair did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repaired {
    /// Events whose transaction id was rewritten.
    pub events: u64,
    /// Projections that go on where they were.
    pub projections: u64,
}

/// Why a log was not renumbered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// A projection has not applied everything, and what is missing can't be known from the old numbers any more.
    #[error(
        "the projection {projection} has {behind} events left to apply, which can't be distinguished once they are \
         renumbered: finish it in the cluster that the log comes from and dump again, \
         or empty its read model with `evenfold repair --start-over {projection}`"
    )]
    Incomplete {
        /// Its name.
        projection: String,
        /// How many events it has not applied.
        behind: i64,
    },
    /// The transaction ids are above those of this cluster, which `pg_upgrade` would have kept.
    #[error(
        "the log has transaction ids that this cluster has not reached, so pg_upgrade did not make it: run `evenfold repair`"
    )]
    NotUpgraded,
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// Makes a log that was restored from another cluster usable: every event becomes older than every transaction of
/// this cluster, and every projection, if it is complete, goes on after the last of them. One transaction; it locks
/// the log and rewrites every event.
///
/// # Errors
///
/// See [`RepairError`]. Nothing has changed then.
///
/// # Cancel safety
///
/// A dropped repair has changed nothing.
pub async fn repair(schema: &Schema, conn: &mut PgConnection) -> Result<Repaired, RepairError> {
    let mut tx = conn.begin().await?;
    // Waits for whoever appends, and keeps everybody else out: what follows must see the whole log.
    sqlx::raw_sql(schema.sql("LOCK TABLE evenfold.events, evenfold.checkpoints IN ACCESS EXCLUSIVE MODE"))
        .execute(&mut *tx)
        .await?;
    if let Some((projection, behind)) = checkpoint::first_incomplete(schema, &mut tx).await? {
        return Err(RepairError::Incomplete { projection, behind });
    }
    sqlx::raw_sql(schema.sql("ALTER TABLE evenfold.events DISABLE TRIGGER events_append_only"))
        .execute(&mut *tx)
        .await?;
    // 3 is the first transaction id that a cluster gives out, long before there is a table to write to.
    let events = sqlx::query(schema.sql("UPDATE evenfold.events SET xid = '3' WHERE xid <> '3'"))
        .execute(&mut *tx)
        .await?
        .rows_affected();
    sqlx::raw_sql(schema.sql("ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_append_only"))
        .execute(&mut *tx)
        .await?;
    let projections = checkpoint::complete_all(schema, &mut tx).await?;
    adopt(schema, &mut tx).await?;
    tx.commit().await?;
    Ok(Repaired { events, projections })
}

/// Accepts the identifier of a cluster that `pg_upgrade` made, which keeps transaction ids: nothing is renumbered.
///
/// # Errors
///
/// [`RepairError::NotUpgraded`] when the numbers show that the cluster was not made by `pg_upgrade`.
///
/// # Cancel safety
///
/// One statement.
pub async fn accept_upgraded_cluster(schema: &Schema, conn: &mut PgConnection) -> Result<(), RepairError> {
    if !numbers_are_in_the_past(schema, conn).await? {
        return Err(RepairError::NotUpgraded);
    }
    adopt(schema, conn).await?;
    Ok(())
}

async fn adopt(schema: &Schema, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    // The row may be gone as well.
    sqlx::query(schema.sql(
        "INSERT INTO evenfold.log_origin (system_identifier) SELECT system_identifier FROM pg_control_system()
         ON CONFLICT (only_row) DO UPDATE SET system_identifier = excluded.system_identifier",
    ))
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether every xid and snapshot is one that this cluster can have given out.
async fn numbers_are_in_the_past(schema: &Schema, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        schema.sql("SELECT coalesce((SELECT xid FROM evenfold.events ORDER BY xid DESC LIMIT 1)
                 < pg_snapshot_xmax(pg_current_snapshot()), true)
             AND NOT EXISTS (
                 SELECT FROM evenfold.checkpoints
                 WHERE greatest(pg_snapshot_xmax(seen), pg_snapshot_xmax(upto)) > pg_snapshot_xmax(pg_current_snapshot()))"),
    )
    .fetch_one(conn)
    .await
}
