/// Why evenfold refuses to work on a database. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The server is older than PostgreSQL 13.
    #[error("the server is PostgreSQL {0}, and evenfold needs 13 or newer: upgrade it")]
    Server(String),
    /// The server is a hot standby.
    #[error("the server is a standby, which can only be read: connect to the primary")]
    Standby,
    /// The database keeps texts in another encoding, or in none.
    #[error(
        "the database has the encoding {0}, and evenfold needs UTF8: create one with \
         `createdb --encoding=UTF8 --template=template0`, and move the log there"
    )]
    Encoding(String),
    /// Statements of one session go to several sessions of the server.
    #[error(
        "a connection pooler is in the way that hands a server's session to others between two transactions: evenfold \
         needs session mode (pgbouncer: pool_mode = session, and server_reset_query = DISCARD ALL), or the server itself"
    )]
    Pooler,
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
        "the database has tables or migrations that are not evenfold's{}: use another database, \
         or another schema (add `?options=-c%20search_path%3Devenfold` to the URL)",
        if .0.is_empty() { String::new() } else { format!(" ({})", .0.join(", ")) }
    )]
    Foreign(Vec<String>),
    /// The user may not see all rows of a table.
    #[error(
        "row level security hides rows of {tables} from the user {user}, so that events would be missed: give the user \
         BYPASSRLS, or switch it off (`ALTER TABLE … DISABLE ROW LEVEL SECURITY`)"
    )]
    RowSecurity {
        /// The tables.
        tables: String,
        /// The user.
        user: String,
    },
    /// The log is filled by logical replication.
    #[error(
        "the table events is the target of a logical replication: its rows come with the transaction ids of another \
         cluster, and would be missed; drop it from the subscription (`ALTER PUBLICATION … DROP TABLE events` there, \
         `ALTER SUBSCRIPTION … REFRESH PUBLICATION` here), and move the log by dump and restore, or by pg_upgrade"
    )]
    Subscriber,
    /// A column has another type.
    #[error("the table events was changed: {0}; change it back")]
    Columns(String),
    /// A trigger is disabled or gone.
    #[error(
        "the table events has been left without {0}, so that events would be missed: run \
         `ALTER TABLE events ENABLE ALWAYS TRIGGER {first}`, or restore it from evenfold's migrations where it is gone",
        first = .0.split(", ").next().unwrap_or_default()
    )]
    Triggers(String),
    /// A constraint is gone.
    #[error("the table events has been left without {0}: restore it from evenfold's migrations")]
    Constraints(String),
    /// The positions are handed out in blocks.
    #[error(
        "the sequence of the column events.position caches {0} values, with which events would be missed: \
         run `ALTER SEQUENCE events_position_seq CACHE 1`"
    )]
    SequenceCache(i64),
    /// The sequence counts otherwise.
    #[error(
        "the sequence of the column events.position does not count upwards by one: run \
         `ALTER SEQUENCE events_position_seq INCREMENT 1 NO CYCLE`"
    )]
    SequenceSteps,
    /// The sequence would hand out positions again.
    #[error(
        "the sequence of the column events.position is behind the log, so that new events would be missed: run \
         `SELECT setval('events_position_seq', {0})`, and then `evenfold rebuild`, for what may have been missed already"
    )]
    SequenceBehind(i64),
    /// The transaction ids in the tables are another cluster's.
    #[error(
        "the log was restored from another PostgreSQL cluster, whose transaction ids mean nothing here: \
         run `evenfold repair` before anything is appended (after pg_upgrade: `evenfold repair --upgraded`)"
    )]
    Restored,
    /// A migration did not run.
    #[error("a migration did not run: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The database's.
    #[error("{}", super::told(.0))]
    Database(#[from] sqlx::Error),
}
