//! What can be known of rows that were removed from a log that others write.

use super::Foreign;
use crate::log::OpenSource;
use sqlx::Row;

const WATCHED: &str = include_str!("watched.sql");

impl Foreign {
    /// Whether its events have versions of their own, rather than their positions.
    #[must_use]
    pub fn has_versions(&self) -> bool {
        self.mapping.version.is_some()
    }
}

impl OpenSource {
    /// How many rows were deleted from the log since the statistics of its server began; none where nobody counts them.
    ///
    /// # Errors
    ///
    /// The database's.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn deleted_rows(&mut self) -> Result<i64, sqlx::Error> {
        let (layout, conn) = self.parts();
        let Some(foreign) = layout.foreign() else { return Ok(0) };
        let row = sqlx::query(WATCHED).bind(foreign.table()).fetch_optional(conn).await?;
        row.map_or(Ok(0), |row| row.try_get(0))
    }
}
