//! The tables: migrating them, renumbering a log that was restored elsewhere, and the indexes that a large number of
//! partitions may want. What must hold of them is checked on each connection ([`check`]).

mod index;
mod repair;

pub use crate::database::{MIGRATOR, SchemaError, check};
pub use index::{HashIndex, IndexError, IndexState, create_index, drop_index, indexes};
pub use repair::{RepairError, Repaired, accept_upgraded_cluster, repair};

use crate::database::migrations;
use sqlx::migrate::MigrateError;
use sqlx::{Connection, PgConnection};

/// Brings an empty or an older schema up to date; does nothing to one that is. One transaction: all of it or nothing.
///
/// # Errors
///
/// [`SchemaError`], when the schema is not evenfold's, or newer than this library, or the database says no.
///
/// # Cancel safety
///
/// A dropped migration has changed nothing.
pub async fn migrate(conn: &mut PgConnection) -> Result<(), SchemaError> {
    let mut tx = conn.begin().await?;
    // The migrator's own lock ends before the transaction does: whoever waits for this one finds everything made.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('evenfold migrate'))").execute(&mut *tx).await?;
    match migrations(&mut tx).await {
        Err(SchemaError::NotMigrated | SchemaError::Old { .. }) => {}
        other => return other,
    }
    MIGRATOR.run_direct(None, &mut *tx, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => SchemaError::Database(error),
        other => SchemaError::Migration(other),
    })?;
    tx.commit().await?;
    Ok(())
}
