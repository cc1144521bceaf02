//! What keeps evenfold from working on a database, in sentences.

use super::schema::Schema;

/// Why evenfold refuses to work on a database. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The server is older than PostgreSQL 13.
    #[error("the server is PostgreSQL {0}, and evenfold needs 13 or newer: upgrade it")]
    Server(String),
    /// The server is a hot standby.
    #[error("the server is a standby, which can only be read: connect to the primary")]
    Standby,
    /// The server is no standby, where one is needed.
    #[error(
        "the server is a primary, or was promoted to one: rows_from must be a hot standby of the log's server; name one, \
         or leave rows_from out"
    )]
    Primary,
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
    #[error(
        "the database has no evenfold tables in the schema {} yet: run `evenfold migrate{}`{}",
        .0.name(), .0.flag(), if *.0 == Schema::default() { " (or `sqlx migrate run`)" } else { "" }
    )]
    NotMigrated(Schema),
    /// Some migrations have not been run.
    #[error(
        "the tables in the schema {} are older than this evenfold ({missing} migration(s) behind): run `evenfold migrate{}`",
        .schema.name(), .schema.flag()
    )]
    Old {
        /// Which schema.
        schema: Schema,
        /// How many have not.
        missing: usize,
    },
    /// A newer evenfold has migrated the database.
    #[error(
        "the tables in the schema {} are newer than this evenfold: install the version that migrated them, or a later one",
        .0.name()
    )]
    Newer(Schema),
    /// evenfold's tables are in another schema, as versions before 0.2 made them, and not as the last of those
    /// versions.
    #[error(
        "the schema {from} has evenfold's tables as an early version made them ({missing} migration(s) behind the last one that can \
         be moved): run `evenfold migrate` of version 0.1 first, and then this one again"
    )]
    TooOld {
        /// Which schema.
        from: String,
        /// How many of that version's migrations have not been run.
        missing: usize,
    },
    /// evenfold's tables are to be moved, and somebody works on them.
    #[error(
        "the tables in the schema {from} are to be moved to the schema {to}, and are in use: stop every worker, service and \
         writer, and run `evenfold migrate` again; nothing has changed (waited {} s)",
        super::limits::MOVING.as_secs()
    )]
    InUse {
        /// Where they are.
        from: String,
        /// Where they are to be.
        to: String,
    },
    /// The tables are another application's.
    #[error(
        "the schema {} has tables or migrations that are not evenfold's{}: choose another schema with --schema or \
         EVENFOLD_SCHEMA",
        .schema.name(), if .tables.is_empty() { String::new() } else { format!(" ({})", .tables.join(", ")) }
    )]
    Foreign {
        /// Which schema.
        schema: Schema,
        /// What it has under the names of evenfold's.
        tables: Vec<String>,
    },
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
        "the table {0}.events is the target of a logical replication: its rows come with the transaction ids of another \
         cluster, and would be missed; drop it from the subscription (`ALTER PUBLICATION … DROP TABLE {0}.events` there, \
         `ALTER SUBSCRIPTION … REFRESH PUBLICATION` here), and move the log by dump and restore, or by pg_upgrade"
    )]
    Subscriber(Schema),
    /// A column has another type.
    #[error("the table {0}.events was changed: {1}; change it back")]
    Columns(Schema, String),
    /// A trigger is disabled or gone.
    #[error(
        "the table {0}.events has been left without {1}, so that events would be missed: run \
         `ALTER TABLE {0}.events ENABLE ALWAYS TRIGGER {first}`, or restore it from evenfold's migrations where it is gone",
        first = .1.split(", ").next().unwrap_or_default()
    )]
    Triggers(Schema, String),
    /// A constraint is gone.
    #[error("the table {0}.events has been left without {1}: restore it from evenfold's migrations")]
    Constraints(Schema, String),
    /// The positions are handed out in blocks.
    #[error(
        "the sequence of the column {0}.events.position caches {1} values, with which events would be missed: \
         run `ALTER SEQUENCE {0}.events_position_seq CACHE 1`"
    )]
    SequenceCache(Schema, i64),
    /// The sequence counts otherwise.
    #[error(
        "the sequence of the column {0}.events.position does not count upwards by one: run \
         `ALTER SEQUENCE {0}.events_position_seq INCREMENT 1 NO CYCLE`"
    )]
    SequenceSteps(Schema),
    /// The sequence would hand out positions again.
    #[error(
        "the sequence of the column {0}.events.position is behind the log, so that new events would be missed: run \
         `SELECT setval('{0}.events_position_seq', {1})`, and then `evenfold rebuild{flag}`, for what may have been missed already",
        flag = .0.flag()
    )]
    SequenceBehind(Schema, i64),
    /// The transaction ids in the tables are another cluster's.
    #[error(
        "the log was restored from another PostgreSQL cluster, whose transaction ids mean nothing here: \
         run `evenfold repair{flag}` before anything is appended (after pg_upgrade: `evenfold repair --upgraded{flag}`)",
        flag = .0.flag()
    )]
    Restored(Schema),
    /// A migration did not run.
    #[error("a migration did not run: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The database's.
    #[error("{}", super::message::describe(.0))]
    Database(#[from] sqlx::Error),
}
