//! The tables that a projection has made: each says so in the last line of its comment, so that nobody takes another's
//! table for one of them, also where it has the name.

use crate::database::literal;
use sqlx::{AssertSqlSafe, PgConnection};

/// Which tables there are.
const THERE: &str = "SELECT oid::bigint FROM pg_class WHERE relkind IN ('r', 'p')";

/// Those that are this transaction's own: nobody else has them locked.
const MADE: &str = "
    SELECT c.oid::regclass::text FROM pg_class c
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.oid::bigint = ANY ($1) AND NOT c.relispartition
      AND EXISTS (SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.pid = pg_backend_pid()
                  AND l.mode = 'AccessExclusiveLock' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY 1";

const COMMENT: &str = "SELECT obj_description(to_regclass($1), 'pg_class')";

/// The tables that are there before a projection makes its own.
#[doc(hidden)]
#[derive(Debug)]
pub struct TablesBefore(Vec<i64>);

impl TablesBefore {
    /// Those that are there now.
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn now(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_scalar(THERE).fetch_all(conn).await.map(Self)
    }

    /// The names of those that this transaction has made since, as SQL has them here.
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn made_since(&self, conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(MADE).bind(&self.0).fetch_all(conn).await
    }
}

/// What is before and after the name of the projection.
const BEGINS: &str = "Read model of the projection ";
const ENDS: &str = " of evenfold";

/// The last line of a table's comment.
pub(crate) fn own_mark(projection: &str) -> String {
    format!("{BEGINS}{}{ENDS}", projection.replace(['\n', '\r'], " "))
}

/// Writes the line into the comments of these tables, after what they have, unless they have one.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
#[doc(hidden)]
pub async fn mark_tables(conn: &mut PgConnection, projection: &str, tables: &[String]) -> Result<(), sqlx::Error> {
    for table in tables {
        let comment: Option<String> = sqlx::query_scalar(COMMENT).bind(table).fetch_one(&mut *conn).await?;
        let comment = comment.unwrap_or_default();
        if owner_in_comment(&comment).is_some() {
            continue;
        }
        let before = if comment.is_empty() { String::new() } else { format!("{comment}\n") };
        let text = literal(&format!("{before}{}", own_mark(projection)));
        sqlx::raw_sql(AssertSqlSafe(format!("COMMENT ON TABLE {table} IS {text}"))).execute(&mut *conn).await?;
    }
    Ok(())
}

/// The projection that has made a table, named as SQL has it, if one has.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
#[doc(hidden)]
pub async fn table_owner(conn: &mut PgConnection, table: &str) -> Result<Option<String>, sqlx::Error> {
    let comment: Option<String> = sqlx::query_scalar(COMMENT).bind(table).fetch_one(conn).await?;
    Ok(comment.as_deref().and_then(owner_in_comment))
}

/// Whose a table with this comment is.
#[doc(hidden)]
#[must_use]
pub fn owner_in_comment(comment: &str) -> Option<String> {
    let owner = comment.lines().next_back()?.strip_prefix(BEGINS)?.strip_suffix(ENDS)?;
    Some(owner.to_owned())
}
