//! The database of one command: somebody's, or our own for as long as the command runs.

use super::output::note;
use super::server::{Own, leave_server, start_server};
use super::{Global, signals};
use crate::config::UsageError;
use anyhow::Context;
use evenfold::database::{Database, Server};
use evenfold::schema;
use evenfold_embedded as embedded;
use sqlx::PgConnection;
use std::path::{Path, PathBuf};

/// A database, and the server if it is our own.
pub struct Session {
    pub database: Database,
    /// Where it is, for processes of our own.
    pub url: String,
    own: Option<Own>,
}

impl Session {
    /// The database of the URL, or our own, started and migrated if need be.
    pub async fn open(global: &Global) -> anyhow::Result<Self> {
        let Some(url) = &global.database_url else {
            let session = Self::embedded(global, &global.data_dir).await?;
            let dir = global.data_dir.display();
            let called = format!("a PostgreSQL of its own in {dir} (no DATABASE_URL is set)");
            session.announce(global, Some(&called)).await?;
            return Ok(session);
        };
        let database =
            Database::at(url).map_err(|error| UsageError(error.to_string()))?.in_schema(global.schema.clone());
        let session = Self { database, url: url.clone(), own: None };
        session.announce(global, None).await?;
        Ok(session)
    }

    /// A database for demonstrations, apart from our own one, whatever the URL is: what they append is nobody's data.
    pub async fn demonstration(global: &Global) -> anyhow::Result<Self> {
        if global.database_url.is_some() {
            tracing::warn!("the demonstration leaves the database of the URL alone and uses one of its own");
        }
        let dir = demonstration_dir(global);
        let session = Self::embedded(global, &dir).await?;
        session.announce(global, Some(&format!("a PostgreSQL of its own in {}", dir.display()))).await?;
        Ok(session)
    }

    /// Our own database in this directory, whatever the URL says.
    pub async fn embedded(global: &Global, data_dir: &Path) -> anyhow::Result<Self> {
        signals::guard()?;
        let options = embedded_options(global, data_dir);
        let (url, used) = tokio::task::spawn_blocking(move || start_server(&options)).await??;
        let session = Self { database: Database::at(&url)?.in_schema(global.schema.clone()), url, own: Some(Own) };
        if let Some(elsewhere) = used.elsewhere {
            tracing::warn!(directory = %elsewhere.display(),
                "the server's user can't reach {}; its data is elsewhere", data_dir.display());
        }
        if used.abandoned {
            tracing::warn!(
                "the PostgreSQL of its own in {} was left running by a process that was killed: it is used, \
                and the last process out stops it",
                data_dir.display()
            );
        }
        // Ours alone: nobody else decides when to migrate it.
        schema::migrate(session.database.schema(), &mut session.database.connect_to_server().await?.0).await?;
        Ok(session)
    }

    /// A connection to tables that have been checked.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(self.database.connect().await?)
    }

    /// The same, for statements that must go by an index whatever the statistics say.
    pub async fn connect_by_index(&self) -> anyhow::Result<PgConnection> {
        Ok(self.database.by_index().connect().await?)
    }

    /// Leaves the server, which stops it if nobody else uses it.
    pub async fn close(mut self) -> anyhow::Result<()> {
        if let Some(_own) = self.own.take() {
            tokio::task::spawn_blocking(leave_server).await?.context("evenfold's own PostgreSQL")?;
        }
        Ok(())
    }

    /// Says which database this is, before anything is done with it: a misspelt variable leads to another one. It is a
    /// log line where such lines are shown, and where nobody has set what to log a line by itself. Nothing of the user
    /// and the password is in it.
    async fn announce(&self, global: &Global, own: Option<&str>) -> anyhow::Result<()> {
        // The tables may be what is wrong: then it must be shown which they are.
        let Server { place, version, database, .. } = self.database.connect_to_server().await?.1;
        let schema = self.database.schema().name();
        // A distribution adds its own version.
        let version = version.split(' ').next().unwrap_or_default();
        let called = own.map_or_else(|| format!("{database} at {place}"), str::to_owned);
        if tracing::enabled!(tracing::Level::INFO) {
            tracing::info!(schema, version, "database: {called}");
        } else if global.log.is_none() && own.is_some() {
            note(&format!("database: {called}"));
        } else if global.log.is_none() {
            note(&format!("database: {called}, schema {schema}, PostgreSQL {version}"));
        }
        Ok(())
    }
}

/// Where the server of the demonstrations is: next to our own, as `.evenfold/pg-demo`.
fn demonstration_dir(global: &Global) -> PathBuf {
    next_to_own(global, "demo")
}

fn next_to_own(global: &Global, purpose: &str) -> PathBuf {
    let mut dir = global.data_dir.clone().into_os_string();
    dir.push(format!("-{purpose}"));
    dir.into()
}

/// Another server next to our own, for this purpose.
#[must_use]
pub fn second_options(global: &Global, purpose: &str) -> embedded::Options {
    embedded_options(global, &next_to_own(global, purpose))
}

/// Where to find what a demonstration has left.
#[must_use]
pub fn look_around(global: &Global) -> String {
    let dir = demonstration_dir(global);
    format!("Its events are apart from yours. To look around:\nevenfold status --data-dir {}\n", dir.display())
}

/// Where our own server is.
#[must_use]
pub fn embedded_options(global: &Global, data_dir: &Path) -> embedded::Options {
    embedded::Options::new(data_dir).bin_dir(global.pg_bin.clone())
}
