//! What can be known of rows that were removed from a log that others write.

use super::Foreign;
use sqlx::{PgConnection, Row};

const WATCHED: &str = include_str!("watched.sql");

impl Foreign {
    /// Whether its events have versions of their own, rather than their positions.
    #[must_use]
    pub fn has_versions(&self) -> bool {
        self.mapping.version.is_some()
    }

    /// How many rows were deleted from it since the statistics of its server began.
    pub(in crate::log) async fn deleted_rows(&self, conn: &mut PgConnection) -> Result<i64, sqlx::Error> {
        let row = sqlx::query(WATCHED).bind(self.table()).fetch_optional(conn).await?;
        row.map_or(Ok(0), |row| row.try_get(0))
    }
}
