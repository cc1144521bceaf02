//! The tables, all in one [`Schema`]: migrating them, moving those of an earlier layout there, removing them,
//! renumbering a log that was restored elsewhere, and the indexes that a large number of partitions may want. What must
//! hold of them is checked on each connection ([`check`]).

mod create;
mod index;
mod moving;
mod repair;
mod uninstall;

pub use crate::database::{InvalidSchema, Schema, SchemaError, check, migrator};
pub use index::{HashIndex, IndexError, IndexState, create_index, drop_index, indexes};
pub use repair::{RepairError, Repaired, accept_upgraded_cluster, repair};
pub use uninstall::{Contents, UninstallError, contents, uninstall};

use crate::database::migrations;
use create::{ensure_schema, refused};
use sqlx::{Connection, PgConnection};

/// Taken by whoever makes, moves or removes tables until its transaction ends: for all schemas, since one may
/// be moved to another. The migrator's own lock ends before the transaction does: whoever waits for this one finds
/// everything made.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('evenfold migrate'))";

/// What a migration has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Migrated {
    /// Nothing: the tables were as they should be.
    UpToDate,
    /// Made the tables, or those that were missing.
    Made,
    /// Moved the tables to the schema, from the one that version 0.1 had made them in.
    Moved {
        /// Where they were.
        from: String,
    },
}

/// Brings an empty or an older schema up to date, and makes it where it is not there; does nothing to one that is.
/// Tables that version 0.1 has made, in `public` or wherever the connection's `search_path` leads, are moved to the
/// schema, with everything that is in them; only those that it has migrated completely. One transaction: all of it or
/// nothing.
///
/// What is not evenfold's is left alone: tables of other applications, and their rows in a `_sqlx_migrations` that the
/// two have shared.
///
/// # Errors
///
/// [`SchemaError`], when the schema is not evenfold's, or newer than this library, or the database says no.
/// [`SchemaError::InUse`], when tables that are to be moved are in use for 5 seconds.
///
/// # Cancel safety
///
/// A dropped migration has changed nothing.
pub async fn migrate(schema: &Schema, conn: &mut PgConnection) -> Result<Migrated, SchemaError> {
    let mut tx = conn.begin().await?;
    let migrated = within(schema, &mut tx).await;
    match migrated {
        Ok(migrated) => {
            tx.commit().await?;
            Ok(migrated)
        }
        Err(error) => {
            // A transaction that is merely dropped keeps its locks until the connection is used again.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

async fn within(schema: &Schema, tx: &mut PgConnection) -> Result<Migrated, SchemaError> {
    sqlx::query(LOCK).execute(&mut *tx).await?;
    match migrations(schema, tx).await {
        Ok(()) => return Ok(Migrated::UpToDate),
        Err(SchemaError::Old { .. }) => {}
        // An earlier layout may be in the very schema: its migrations are others than those of this one.
        Err(found @ (SchemaError::NotMigrated(_) | SchemaError::Foreign { .. })) => {
            if let Some(from) = moving::find(schema, tx).await? {
                moving::run(schema, tx, &from).await?;
                return Ok(Migrated::Moved { from });
            }
            if matches!(found, SchemaError::Foreign { .. }) {
                return Err(found);
            }
        }
        Err(other) => return Err(other),
    }
    ensure_schema(schema, tx).await?;
    migrator(schema).run_direct(None, tx, false).await.map_err(refused)?;
    Ok(Migrated::Made)
}

/// Whether the connection's `search_path` leads to the schema, so that statements which name none find evenfold's
/// tables: as by default for a role of the same name.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn is_in_search_path(schema: &Schema, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT $1 = ANY (current_schemas(false))").bind(schema.name()).fetch_one(conn).await
}
