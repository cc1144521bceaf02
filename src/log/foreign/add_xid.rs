//! Adding a column for the transaction to a log that others write.

use super::facts::find;
use super::xid::column_of;
use super::{Mapping, Positions, XID_COLUMN};
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// How long a statement waits for whoever uses the table; everyone else waits behind it.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '5s'";

impl Mapping {
    /// The column that has, or is to have, the transaction of each event.
    #[must_use]
    pub fn xid_column(&self) -> &str {
        match &self.positions {
            Some(Positions::Xid(column)) => column,
            Some(Positions::Sequence(_) | Positions::Serial) | None => XID_COLUMN,
        }
    }
}

/// The statements that are left to do until the table of a mapping has a column for the transaction, with an index;
/// none where there is no such table. Adding the column does not write the table anew: rows that are there get the
/// transaction of the statement.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn adding_xid(conn: &mut PgConnection, mapping: &Mapping) -> Result<Option<Vec<String>>, sqlx::Error> {
    let Some(facts) = find(&mut *conn, mapping, None).await? else { return Ok(None) };
    let (table, name) = (&mapping.table, mapping.xid_column());
    let found = column_of(mapping, name, conn).await?;
    let has_index = match &found {
        Some(found) => found.try_get(3)?,
        None => false,
    };
    let mut statements = Vec::new();
    if found.is_none() {
        statements.push(format!("ALTER TABLE {table} ADD COLUMN {name} xid8 NOT NULL DEFAULT pg_current_xact_id()"));
    }
    if !has_index {
        // That of a partitioned table can't be built while others write.
        let concurrently = if facts.kind == "p" { "" } else { " CONCURRENTLY" };
        statements.push(format!("CREATE INDEX{concurrently} ON {table} ({name})"));
    }
    Ok(Some(statements))
}

/// Executes one of these statements, which waits at most 5 seconds for a lock.
///
/// # Errors
///
/// The database's. An index that was not finished stays, and is not valid: drop it.
///
/// # Cancel safety
///
/// The statement may have been executed or not.
pub async fn add_xid(conn: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *conn).await?;
    // Put together from our own text and what whoever runs evenfold has written in its configuration.
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(conn).await.map(drop)
}
