//! A second server on this machine, for a log that is not where the read model is.

use anyhow::Context;
use evenfold::Database;
use evenfold_cli::Global;
use evenfold_cli::bench::arena::Arena;
use evenfold_cli::session::second_options;
use evenfold_embedded::{self as embedded, Options, Server};

/// It runs as long as this value, and nothing of it is left after [`remove`](Self::remove).
pub(super) struct SecondServer {
    options: Options,
    server: Server,
}

impl SecondServer {
    /// One that is empty, next to evenfold's own.
    pub(super) async fn start(global: &Global) -> anyhow::Result<Self> {
        let options = second_options(global, "bench-log");
        tokio::task::spawn_blocking(move || {
            // What a benchmark that was killed has left.
            embedded::reset(&options)?;
            let server = embedded::start(&options)?;
            Ok::<_, embedded::EmbeddedError>(Self { options, server })
        })
        .await?
        .context("the second PostgreSQL, of which the log is")
    }

    /// Its database, with the benchmark's schema for what is made there.
    pub(super) fn database(&self, arena: &Arena) -> anyhow::Result<Database> {
        Ok(Database::at(&self.server.url())?.in_schema(arena.database.schema().clone()).named("evenfold bench"))
    }

    /// Stops it, and removes its data.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        let Self { options, server } = self;
        tokio::task::spawn_blocking(move || {
            server.stop()?;
            embedded::reset(&options)
        })
        .await?
        .context("the second PostgreSQL could not be removed")?;
        Ok(())
    }
}
