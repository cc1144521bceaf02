//! Which log a projection folds, for commands that look at what there is: the definition has it that the
//! projection was begun with.

use super::open;
use crate::Global;
use crate::session::Session;
use anyhow::bail;
use evenfold::checkpoint::{FoldedLog, log_of};
use evenfold::log::{OpenSource, Source};
use evenfold::schema::Schema;
use sqlx::PgConnection;

/// evenfold's own log, and the one that others write, if one is named.
pub(crate) struct Logs {
    source: Option<Source>,
    open: Option<OpenSource>,
}

impl Logs {
    /// Those that the settings name.
    pub(crate) async fn open(global: &Global, session: &Session) -> anyhow::Result<Self> {
        Ok(Self { source: open(global, session).await?, open: None })
    }

    /// Makes a new connection when one is needed next.
    pub(crate) fn disconnect(&mut self) {
        self.open = None;
    }

    /// The log of a projection, if others write it; one that is not begun folds what the settings name.
    ///
    /// An error where the projection folds a log that the settings don't name: whatever was counted in another one
    /// would be wrong.
    pub(crate) async fn source_of(
        &self,
        own: &Schema,
        conn: &mut PgConnection,
        projection: &str,
    ) -> anyhow::Result<Option<&Source>> {
        match (log_of(own, conn, projection).await?, &self.source) {
            (None, source) => Ok(source.as_ref()),
            (Some(FoldedLog::Own), _) => Ok(None),
            (Some(FoldedLog::Other(log)), Some(source)) if log == source.to_string() => Ok(Some(source)),
            (Some(FoldedLog::Other(log)), named) => {
                let named =
                    named.as_ref().map_or_else(|| "no other log is named".to_owned(), |log| format!("{log} is named"));
                bail!(
                    "the projection {projection} folds the log {log}, and {named}: give --source and --source-url, or \
                     [source] in evenfold.toml, as its workers have them"
                )
            }
        }
    }

    /// The same, with a connection to it.
    pub(crate) async fn of(
        &mut self,
        own: &Schema,
        conn: &mut PgConnection,
        projection: &str,
    ) -> anyhow::Result<Option<(&Source, &mut OpenSource)>> {
        let Some(source) = self.source_of(own, conn, projection).await? else { return Ok(None) };
        if self.open.is_none() {
            self.open = Some(source.open().await?);
        }
        Ok(self.source.as_ref().zip(self.open.as_mut()))
    }
}
