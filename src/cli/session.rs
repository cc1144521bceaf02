//! The database of one command: somebody's, or our own for as long as the command runs.

use super::Global;
use anyhow::Context;
use evenfold::config::UsageError;
use evenfold::database::Database;
use evenfold::{embedded, schema};
use sqlx::PgConnection;

/// A database, and the server if it is our own.
pub(super) struct Session {
    pub(super) database: Database,
    /// Where it is, for processes of our own.
    pub(super) url: String,
    server: Option<embedded::Server>,
}

impl Session {
    /// The database of the URL, or our own, started and migrated if need be.
    pub(super) async fn open(global: &Global) -> anyhow::Result<Self> {
        match &global.database_url {
            Some(url) => {
                let database = Database::at(url).map_err(|error| UsageError(error.to_string()))?;
                Ok(Self { database, url: url.clone(), server: None })
            }
            None => Self::embedded(global).await,
        }
    }

    /// Our own database, whatever the URL says.
    pub(super) async fn embedded(global: &Global) -> anyhow::Result<Self> {
        let options = embedded_options(global);
        let server = tokio::task::spawn_blocking(move || embedded::start(&options)).await??;
        if server.relocated() {
            tracing::warn!(directory = %server.data_dir().display(),
                "the server's user can't reach {}; its data is elsewhere", global.data_dir.display());
        }
        let url = server.url();
        let database = Database::at(&url)?;
        // Ours alone: nobody else decides when to migrate it.
        schema::migrate(&mut database.connect_to_server().await?.0).await?;
        Ok(Self { database, url, server: Some(server) })
    }

    /// A connection to tables that have been checked.
    pub(super) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(self.database.connect().await?)
    }

    /// Leaves the server, which stops it if nobody else uses it.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        if let Some(server) = self.server {
            tokio::task::spawn_blocking(move || server.stop()).await?.context("the embedded database")?;
        }
        Ok(())
    }
}

/// Where our own server is.
pub(super) fn embedded_options(global: &Global) -> embedded::Options {
    embedded::Options { bin_dir: global.pg_bin.clone(), ..embedded::Options::new(&global.data_dir) }
}
