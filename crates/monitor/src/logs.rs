//! Which log a projection folds, and a connection to the one that others write.

use evenfold::checkpoint::{FoldedLog, log_of};
use evenfold::log::{OpenSource, Source};
use evenfold::schema::Schema;
use sqlx::PgConnection;
use std::fmt;

/// evenfold's own log, and the one that others write, if there is one.
pub struct Logs {
    source: Option<Source>,
    open: Option<OpenSource>,
}

/// What a projection folds.
pub(crate) enum Folded<'a> {
    /// evenfold's own log.
    Own,
    /// The one that others write.
    Source(String, &'a mut OpenSource),
    /// Another one, of which nothing can be counted: what it is called, and why.
    Unknown(String, String),
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("source", &self.source.as_ref().map(ToString::to_string)).finish_non_exhaustive()
    }
}

impl Logs {
    /// Those that there are besides evenfold's own: none, or one.
    #[must_use]
    pub fn new(source: Option<Source>) -> Self {
        Self { source, open: None }
    }

    /// Forgets the connection: something has failed on it.
    pub(crate) fn forget(&mut self) {
        self.open = None;
    }

    /// What a projection folds.
    pub(crate) async fn of(
        &mut self,
        schema: &Schema,
        conn: &mut PgConnection,
        projection: &str,
    ) -> Result<Folded<'_>, String> {
        let folded = log_of(schema, conn, projection).await.map_err(|error| evenfold::database::describe(&error))?;
        let Some(FoldedLog::Other(log)) = folded else { return Ok(Folded::Own) };
        let Some(source) = self.source.as_ref().filter(|source| source.to_string() == log) else {
            let why = "this log is not named: start the monitor with --source and --source-url, or [source] in \
                       evenfold.toml, as the workers have them";
            return Ok(Folded::Unknown(log, why.to_owned()));
        };
        if self.open.is_none() {
            match source.open().await {
                Ok(open) => self.open = Some(open),
                Err(error) => return Ok(Folded::Unknown(log, error.to_string())),
            }
        }
        Ok(match &mut self.open {
            Some(open) => Folded::Source(log, open),
            None => Folded::Own,
        })
    }
}
