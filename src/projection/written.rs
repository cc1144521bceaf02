//! Which tables a session has written.

use sqlx::PgConnection;

/// Also what functions and triggers write is counted. PostgreSQL counts by transaction, and for a moment also what
/// earlier ones of the session have written: only the difference of two counts means something.
const WRITTEN: &str = "SELECT relid::bigint, n_tup_ins + n_tup_upd + n_tup_del, schemaname::text, relname::text
    FROM pg_stat_xact_user_tables
    WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND NOT starts_with(schemaname::text, 'pg_temp')";

/// A table, how many rows of it were written, its schema and its name.
type TableRowsWritten = (i64, i64, String, String);

/// How many rows a session has written, by table; temporary ones do not count.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct RowsWritten(Vec<TableRowsWritten>);

impl RowsWritten {
    /// So far.
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn now(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_as(WRITTEN).fetch_all(conn).await.map(Self)
    }

    /// The tables that were written since: the schema and the name of each, neither of them quoted.
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn since(&self, conn: &mut PgConnection) -> Result<Vec<(String, String)>, sqlx::Error> {
        let Self(now) = Self::now(conn).await?;
        let is_new =
            |(table, rows, ..): &TableRowsWritten| !self.0.iter().any(|then| (then.0, then.1) == (*table, *rows));
        Ok(now.into_iter().filter(is_new).map(|(.., schema, name)| (schema, name)).collect())
    }
}
