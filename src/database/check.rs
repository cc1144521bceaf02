//! What is looked at before anything is done on a connection: the server, the session, and the log.

use super::migrations::{compare, foreign};
use super::schema::Schema;
use super::session::MARK;
use super::unfit::SchemaError;
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either, PgConnection, Row};

/// The oldest PostgreSQL that has `xid8` and `pg_current_snapshot()`.
const OLDEST_SERVER: i32 = 130_000;

const ENCODING: &str = "UTF8";

const SERVER: &str = include_str!("server.sql");
const TABLES: &str = include_str!("tables.sql");
const LOG: &str = include_str!("log.sql");

/// How much of what is behind a connection is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The server and the session.
    Server,
    /// The log as well.
    Log,
}

/// The server behind a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its host and port, or its socket, as it was connected to.
    pub place: String,
    /// The version, such as `15.4`.
    pub version: String,
    /// The database.
    pub database: String,
    /// The user, who may be another one than the one who has logged in.
    pub user: String,
    pub(crate) identity: Identity,
}

/// Which cluster it is, on which timeline, and since when its postmaster runs. Two connections that are there at the
/// same time, and on which these are the same, see the same transactions. A server whose sessions are ended by the
/// crash of one of them has the same identity afterwards, and no connection from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity(String);

impl Identity {
    /// The cluster and its timeline, whenever it was started.
    pub(crate) fn cluster(&self) -> String {
        self.0.rsplit_once('/').map_or_else(|| self.0.clone(), |(cluster, _)| cluster.to_owned())
    }
}

#[cfg(test)]
impl Identity {
    pub(crate) fn named(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// The statements of a connection's first message, put together: settings first, so that what follows is subject to
/// them.
pub(super) fn script(schema: &Schema, begin: &str, scope: Scope, end: &str) -> String {
    let log =
        if scope == Scope::Log { format!("{};{};", schema.text(TABLES), schema.text(LOG)) } else { String::new() };
    format!("{begin};{SERVER};{log}{end}")
}

/// Sends the message, and looks at the answers. The server must be a standby, or must be none.
pub(super) async fn run(
    schema: &Schema,
    conn: &mut PgConnection,
    script: String,
    place: String,
    standby: bool,
) -> Result<Server, SchemaError> {
    let (rows, failed) = rows(conn, script).await;
    // Whatever has failed after it: a server that is not fit is the reason.
    let server = match find(&rows, "identity") {
        Some(row) => server(row, place, standby)?,
        None => return Err(failed.map_or_else(|| sqlx::Error::RowNotFound.into(), Into::into)),
    };
    if let Some(row) = find(&rows, "mark")
        && row.try_get::<Option<String>, _>("mark")?.is_some_and(|mark| !mark.is_empty())
    {
        return Err(SchemaError::Pooler);
    }
    if find(&rows, "subscriber").is_some() || failed.is_some() {
        log(schema, conn, &rows, failed, &server.user).await?;
    }
    Ok(server)
}

/// Checks everything that the guarantees depend on and that could be otherwise, on a connection that there is: the
/// server, the schema, the sequence, the triggers, and whether transaction ids and snapshots are this cluster's.
///
/// # Errors
///
/// See [`SchemaError`].
///
/// # Cancel safety
///
/// Reads only.
pub async fn check(schema: &Schema, conn: &mut PgConnection) -> Result<(), SchemaError> {
    let (rows, failed) = rows(conn, format!("{SERVER};{};{}", schema.text(TABLES), schema.text(LOG))).await;
    let user = match find(&rows, "identity") {
        Some(row) => server(row, String::new(), false)?.user,
        None => return Err(failed.map_or_else(|| sqlx::Error::RowNotFound.into(), Into::into)),
    };
    log(schema, conn, &rows, failed, &user).await
}

/// Which server is behind a connection.
pub(crate) async fn identity(conn: &mut PgConnection) -> Result<Identity, sqlx::Error> {
    sqlx::query(SERVER).fetch_one(conn).await?.try_get("identity").map(Identity)
}

/// Whether the session is still the one that was given this mark: a pooler may have put another one in its place.
pub(super) async fn keeps(conn: &mut PgConnection, mark: &str) -> Result<bool, sqlx::Error> {
    let query = AssertSqlSafe(format!("SELECT current_setting('{MARK}', true)"));
    let kept: Option<String> = sqlx::raw_sql(query).fetch_one(conn).await?.try_get(0)?;
    Ok(kept.as_deref() == Some(mark))
}

/// The rows of all statements up to the one that has failed, and its error.
async fn rows(conn: &mut PgConnection, script: String) -> (Vec<PgRow>, Option<sqlx::Error>) {
    // Put together from our own text, and from settings with their quotes.
    let mut answers = sqlx::raw_sql(AssertSqlSafe(script)).fetch_many(conn);
    let mut rows = Vec::new();
    loop {
        match answers.try_next().await {
            Ok(Some(Either::Right(row))) => rows.push(row),
            Ok(Some(Either::Left(_))) => {}
            Ok(None) => return (rows, None),
            Err(error) => return (rows, Some(error)),
        }
    }
}

/// The row that has this column.
fn find<'a>(rows: &'a [PgRow], column: &str) -> Option<&'a PgRow> {
    rows.iter().find(|row| row.try_column(column).is_ok())
}

fn server(row: &PgRow, place: String, standby: bool) -> Result<Server, SchemaError> {
    let version: String = row.try_get("version")?;
    if row.try_get::<i32, _>("version_number")? < OLDEST_SERVER {
        return Err(SchemaError::Server(version));
    }
    match (row.try_get("standby")?, standby) {
        (true, false) => return Err(SchemaError::Standby),
        (false, true) => return Err(SchemaError::Primary),
        _ => {}
    }
    let encoding: String = row.try_get("encoding")?;
    if encoding != ENCODING {
        return Err(SchemaError::Encoding(encoding));
    }
    Ok(Server {
        place,
        version,
        database: row.try_get("database")?,
        user: row.try_get("user")?,
        identity: Identity(row.try_get("identity")?),
    })
}

/// What is wrong with the log: of several things the one that is the reason for the others.
async fn log(
    schema: &Schema,
    conn: &mut PgConnection,
    rows: &[PgRow],
    failed: Option<sqlx::Error>,
    user: &str,
) -> Result<(), SchemaError> {
    let Some(tables) = find(rows, "subscriber") else {
        return Err(failed.map_or_else(|| sqlx::Error::RowNotFound.into(), Into::into));
    };
    if let Some(hidden) = tables.try_get::<Option<String>, _>("hidden")? {
        return Err(SchemaError::RowSecurity { tables: hidden, user: user.to_owned() });
    }
    let has_log = tables.try_get("log")?;
    if !tables.try_get::<bool, _>("migrations")? {
        return Err(if has_log {
            foreign(schema, vec!["events".to_owned()])
        } else {
            SchemaError::NotMigrated(schema.clone())
        });
    }
    let Some(log) = find(rows, "applied") else {
        return Err(unread(schema, conn, failed).await);
    };
    compare(schema, log.try_get("applied")?, has_log)?;
    each(schema, tables, log)
}

/// The tables can't be read: because they are not there yet, or because of what the database says.
async fn unread(schema: &Schema, conn: &mut PgConnection, failed: Option<sqlx::Error>) -> SchemaError {
    let failed = failed.unwrap_or(sqlx::Error::RowNotFound);
    let code = failed.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // undefined_table, undefined_column, undefined_object
    if matches!(code.as_deref(), Some("42P01" | "42703" | "42704"))
        && let Err(error) = super::migrations::migrations(schema, conn).await
    {
        return error;
    }
    failed.into()
}

fn each(schema: &Schema, tables: &PgRow, log: &PgRow) -> Result<(), SchemaError> {
    let schema = || schema.clone();
    let named = |column| tables.try_get::<Option<String>, _>(column);
    if tables.try_get("subscriber")? {
        return Err(SchemaError::Subscriber(schema()));
    }
    if let Some(columns) = named("columns")? {
        return Err(SchemaError::Columns(schema(), columns));
    }
    if let Some(triggers) = named("triggers")? {
        return Err(SchemaError::Triggers(schema(), triggers));
    }
    if let Some(constraints) = named("constraints")? {
        return Err(SchemaError::Constraints(schema(), constraints));
    }
    let (last, highest): (i64, i64) = (log.try_get("last")?, log.try_get("highest")?);
    match tables.try_get::<Option<i64>, _>("cache")? {
        Some(1) => {}
        Some(cache) => return Err(SchemaError::SequenceCache(schema(), cache)),
        None => return Err(SchemaError::Columns(schema(), "the sequence events_position_seq is missing".to_owned())),
    }
    if tables.try_get::<Option<bool>, _>("steps")? != Some(true) {
        return Err(SchemaError::SequenceSteps(schema()));
    }
    // The numbers of another cluster first: its positions are nobody's mistake.
    if !log.try_get::<bool, _>("origin")? || !log.try_get::<bool, _>("numbers")? {
        return Err(SchemaError::Restored(schema()));
    }
    if last < highest { Err(SchemaError::SequenceBehind(schema(), highest)) } else { Ok(()) }
}
