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
    /// The sequence would hand out positions again.
    #[error(
        "the sequence of the column events.position is behind the log, so that new events would be missed: \
         run `SELECT setval('events_position_seq', {0})`"
    )]
    SequenceBehind(i64),
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
    #[error("{}", crate::database::told(.0))]
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
    sequence(conn).await?;
    if own_numbers(conn).await? { Ok(()) } else { Err(SchemaError::Restored) }
}

/// Whether positions are handed out one by one, and above all that were handed out before.
async fn sequence(conn: &mut PgConnection) -> Result<(), SchemaError> {
    let (cache, last, highest): (i64, i64, i64) = sqlx::query_as(
        "SELECT seqcache, coalesce(pg_sequence_last_value(seqrelid), 0),
             greatest((SELECT max(position) FROM events), (SELECT max(floor) FROM checkpoints),
                      (SELECT max(upto_floor) FROM checkpoints), 0)
         FROM pg_sequence WHERE seqrelid = 'events_position_seq'::regclass",
    )
    .fetch_one(conn)
    .await?;
    if cache != 1 {
        return Err(SchemaError::SequenceCache(cache));
    }
    if last < highest { Err(SchemaError::SequenceBehind(highest)) } else { Ok(()) }
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
