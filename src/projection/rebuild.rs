//! Rebuilding the counters: an exact replay from the start, beside those in use, which it replaces in one transaction.

use super::counters::{self, Counters};
use super::{Progress, RunError, Step, Worker, WorkerError, WorkerOptions};
use crate::checkpoint::Takeover;
use crate::class::Class;
use crate::database::Database;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What became of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    /// The rebuilt counters are those in use.
    Switched,
    /// It was told to stop; the next one goes on where it was.
    Stopped,
    /// There is nothing to rebuild: no worker has begun the projection.
    NothingThere,
}

/// A replay of the log into a table beside the counters in use.
pub struct Rebuild {
    worker: Worker<Counters>,
}

impl Rebuild {
    /// A rebuild by these counters, which must have the settings of those in use.
    ///
    /// # Errors
    ///
    /// Never in practice: the whole is a class.
    pub fn new(counters: Counters, batch_size: usize) -> Result<Self, WorkerError> {
        let whole = Class::partition(0, 1).map_err(|error| WorkerError::Register(error.into()))?;
        let options = WorkerOptions { batch_size, topology: Takeover::Now, ..WorkerOptions::default() };
        Ok(Self { worker: Worker::new(whole, counters.beside(), options) })
    }

    /// What it has done so far.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        self.worker.progress()
    }

    /// Replays the log, from where an earlier rebuild has stopped, and then makes its counters those in use. Workers may
    /// run meanwhile: at the end they wait for a moment, and go on from the rebuilt counters.
    ///
    /// # Errors
    ///
    /// See [`RunError`]. The counters in use are as they were; the next rebuild goes on.
    ///
    /// # Cancel safety
    ///
    /// A dropped rebuild has replayed so far, and has switched or not. The next one goes on.
    pub async fn run(mut self, database: &Database, shutdown: &CancellationToken) -> Result<Rebuilt, RunError> {
        let by_index = database.named("evenfold rebuild").by_index();
        self.worker = self.worker.reading_ahead(&by_index);
        let (mut conn, server) = by_index.connect_with_server().await?;
        self.worker.register(&mut conn).await?;
        counters::begin(&mut conn).await.map_err(WorkerError::Database)?;
        if !self.catch_up(&mut conn, shutdown).await? {
            self.worker.finish(&mut conn).await?;
            return Ok(Rebuilt::Stopped);
        }
        // What was replayed from one server must not be put in use on another.
        let mut switching = database.named("evenfold rebuild").only(server.identity).connect().await?;
        let mut tx = switching.begin().await.map_err(WorkerError::Database)?;
        if counters::lock(&mut tx).await.map_err(WorkerError::Database)? == 0 {
            return Ok(Rebuilt::NothingThere);
        }
        // Once more, on the other connection, now that nobody applies anything: the fence of this window shows at least
        // what any checkpoint in use has applied, so that nothing in use is undone.
        if !self.catch_up(&mut conn, shutdown).await? {
            return Ok(Rebuilt::Stopped);
        }
        self.worker.finish(&mut conn).await?;
        counters::switch(&mut tx).await.map_err(WorkerError::Database)?;
        tx.commit().await.map_err(WorkerError::Database)?;
        self.worker.projection().switched();
        Ok(Rebuilt::Switched)
    }

    /// Steps until nothing is left; false if told to stop.
    async fn catch_up(&mut self, conn: &mut PgConnection, shutdown: &CancellationToken) -> Result<bool, WorkerError> {
        while !shutdown.is_cancelled() {
            if self.worker.step(conn).await? == Step::CaughtUp {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
