use super::migrations;
use sqlx::PgConnection;

/// The oldest PostgreSQL that has `xid8` and `pg_current_snapshot()`.
const OLDEST_SERVER: i32 = 130_000;

/// Why evenfold refuses to work on a database. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The server is older than PostgreSQL 13.
    #[error("the server is PostgreSQL {0}, and evenfold needs 13 or newer: upgrade it")]
    Server(String),
    /// The server is a hot standby.
    #[error("the server is a standby, which can only be read: connect to the primary")]
    Standby,
    /// evenfold's tables are not there.
    #[error("the database has no evenfold tables yet: run `evenfold migrate` (or `sqlx migrate run`)")]
    NotMigrated,
    /// Some migrations have not been run.
    #[error(
        "the database's schema is older than this evenfold ({missing} migration(s) behind): run `evenfold migrate`"
    )]
    Old {
        /// How many have not.
        missing: usize,
    },
    /// A newer evenfold has migrated the database.
    #[error("the database's schema is newer than this evenfold: install the version that migrated it, or a later one")]
    Newer,
    /// The tables are another application's.
    #[error(
        "the database has tables or migrations that are not evenfold's: use another database, \
         or another schema (add `?options=-c%20search_path%3Devenfold` to the URL)"
    )]
    Foreign,
    /// The positions are handed out in blocks.
    #[error(
        "the sequence of the column events.position caches {0} values, with which events would be missed: \
         run `ALTER TABLE events ALTER COLUMN position SET CACHE 1`"
    )]
    SequenceCache(i64),
    /// The transaction ids in the tables are another cluster's.
    #[error(
        "the log was restored from another PostgreSQL cluster, whose transaction ids mean nothing here: \
         run `evenfold repair` before anything is appended"
    )]
    Restored,
    /// A migration did not run.
    #[error("a migration did not run: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Checks everything that the guarantees depend on and that could be otherwise: the server, the schema, the sequence,
/// and whether transaction ids and snapshots are this cluster's.
///
/// # Errors
///
/// See [`SchemaError`].
///
/// # Cancel safety
///
/// Reads only.
pub async fn check(conn: &mut PgConnection) -> Result<(), SchemaError> {
    let (number, version, standby): (i32, String, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery()",
    )
    .fetch_one(&mut *conn)
    .await?;
    if number < OLDEST_SERVER {
        return Err(SchemaError::Server(version));
    }
    if standby {
        return Err(SchemaError::Standby);
    }
    migrations(conn).await?;
    let cache: i64 = sqlx::query_scalar(
        "SELECT seqcache FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence('events', 'position')::regclass",
    )
    .fetch_one(&mut *conn)
    .await?;
    if cache != 1 {
        return Err(SchemaError::SequenceCache(cache));
    }
    if own_numbers(conn).await? { Ok(()) } else { Err(SchemaError::Restored) }
}

/// Whether the xids and snapshots in the tables are this cluster's. The identifier tells in every case of a dump and
/// restore; the numbers are looked at as well, because a wrong one loses events without a word.
async fn own_numbers(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let (origin, numbers): (bool, bool) = sqlx::query_as(include_str!("own_numbers.sql")).fetch_one(&mut *conn).await?;
    Ok(origin && numbers)
}

/// Whether every xid and snapshot is one that this cluster can have given out.
pub(super) async fn numbers_are_in_the_past(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let (_, numbers): (bool, bool) = sqlx::query_as(include_str!("own_numbers.sql")).fetch_one(conn).await?;
    Ok(numbers)
}
