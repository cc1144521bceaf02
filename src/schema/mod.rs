//! The tables: migrating them, refusing to work on others, renumbering a log that was restored elsewhere, and the
//! indexes that a large number of partitions may want.

mod check;
mod index;
mod repair;

pub use check::{SchemaError, check};
pub use index::{HashIndex, IndexError, IndexState, create_index, drop_index, indexes};
pub use repair::{RepairError, Repaired, accept_upgraded_cluster, repair};

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{PgConnection, Row};
use std::collections::HashMap;

/// The migrations in `migrations/`, in sqlx's format: `sqlx migrate run` does the same as [`migrate`].
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Brings an empty or an older schema up to date; does nothing to one that is.
///
/// # Errors
///
/// [`SchemaError`], when the schema is not evenfold's, or newer than this library, or the database says no.
///
/// # Cancel safety
///
/// Each migration is a transaction; run it again.
pub async fn migrate(conn: &mut PgConnection) -> Result<(), SchemaError> {
    match migrations(conn).await {
        Err(SchemaError::NotMigrated | SchemaError::Old { .. }) => {}
        other => return other,
    }
    MIGRATOR.run(conn).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => SchemaError::Database(error),
        other => SchemaError::Migration(other),
    })
}

/// Compares what was migrated with what this library has.
async fn migrations(conn: &mut PgConnection) -> Result<(), SchemaError> {
    let (table, events): (bool, bool) =
        sqlx::query_as("SELECT to_regclass('_sqlx_migrations') IS NOT NULL, to_regclass('events') IS NOT NULL")
            .fetch_one(&mut *conn)
            .await?;
    if !table {
        return Err(if events { SchemaError::Foreign } else { SchemaError::NotMigrated });
    }
    let mut applied: HashMap<i64, Vec<u8>> =
        sqlx::query("SELECT version, checksum FROM _sqlx_migrations WHERE success")
            .fetch_all(&mut *conn)
            .await?
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, sqlx::Error>>()?;
    let mut missing = 0;
    for ours in MIGRATOR.iter() {
        match applied.remove(&ours.version) {
            Some(checksum) if checksum != *ours.checksum => return Err(SchemaError::Foreign),
            Some(_) => {}
            None => missing += 1,
        }
    }
    let all = MIGRATOR.iter().count();
    match (applied.is_empty(), missing) {
        (true, 0) => Ok(()),
        (true, n) if n == all => Err(if events { SchemaError::Foreign } else { SchemaError::NotMigrated }),
        (true, missing) => Err(SchemaError::Old { missing }),
        (false, 0) => Err(SchemaError::Newer),
        (false, _) => Err(SchemaError::Foreign),
    }
}
