//! Rebuilding the counters: an exact replay from the start, into a shadow of those in use, which it replaces in one
//! transaction.

use super::switch::{claim, prepare, switch};
use super::{Counters, NAME, REBUILD};
use crate::checkpoint::{self, RegisterError, Takeover};
use crate::class::Class;
use crate::database::Database;
use crate::log::Source;
use crate::projection::{Progress, Sourced, Worker, WorkerError, WorkerOptions, catch_up, definition};
use crate::shadow::{RebuildError, Rebuilt, release};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A replay of the log into a shadow table of the counters in use.
pub struct Rebuild {
    worker: Worker<Sourced<Counters>>,
    new_definition: bool,
}

impl Rebuild {
    /// A rebuild by these counters, which must have the settings of those in use.
    ///
    /// # Errors
    ///
    /// Never in practice: the whole is a class.
    pub fn new(counters: Counters, batch_size: usize) -> Result<Self, WorkerError> {
        Self::of_source(counters, None, batch_size)
    }

    /// The same of a log that others write, where there is one.
    ///
    /// # Errors
    ///
    /// Never in practice: the whole is a class.
    #[doc(hidden)]
    pub fn of_source(counters: Counters, source: Option<Source>, batch_size: usize) -> Result<Self, WorkerError> {
        let whole = Class::partition(0, 1).map_err(|error| WorkerError::Register(error.into()))?;
        let options = WorkerOptions { batch_size, topology: Takeover::Now, ..WorkerOptions::default() };
        let counters = Sourced::new(counters.in_rebuild(), source);
        Ok(Self { worker: Worker::new(whole, counters, options), new_definition: false })
    }

    /// The same rebuild, of which the counters may have other settings than those in use. When it switches over, these
    /// are the projection's: workers with any others end.
    #[must_use]
    pub fn with_new_definition(self) -> Self {
        Self { new_definition: true, ..self }
    }

    /// What it has done so far.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        self.worker.progress()
    }

    /// Replays the log, from where an earlier rebuild with the same settings has stopped, and then makes its counters
    /// those in use. Workers may run meanwhile: at the end they wait for a moment, and go on from the rebuilt counters.
    /// Where checkpoints were lost, those of the present number of partitions are there again afterwards.
    ///
    /// # Errors
    ///
    /// See [`RebuildError`]. The counters in use are as they were; the next rebuild goes on.
    ///
    /// # Cancel safety
    ///
    /// A dropped rebuild has replayed so far, and has switched or not. The next one goes on.
    pub async fn run(mut self, database: &Database, shutdown: &CancellationToken) -> Result<Rebuilt, RebuildError> {
        let by_index = database.named("evenfold rebuild").by_index();
        self.worker = self.worker.reading_ahead(&by_index);
        let (mut conn, server) = by_index.connect_with_server().await?;
        if !claim(database.schema(), &mut conn).await? {
            return Err(RebuildError::Busy);
        }
        // What was replayed from one server must not be put in use on another.
        let rebuilt =
            self.claimed(&mut conn, &database.named("evenfold rebuild").only(server.identity), shutdown).await?;
        release(&mut conn).await;
        Ok(rebuilt)
    }

    /// The same, on the connection that has the claim.
    async fn claimed(
        &mut self,
        conn: &mut PgConnection,
        database: &Database,
        shutdown: &CancellationToken,
    ) -> Result<Rebuilt, RebuildError> {
        let definition = definition(self.worker.projection());
        if !self.permitted(checkpoint::definition_of(database.schema(), conn, NAME).await?)? {
            return Ok(Rebuilt::NothingThere);
        }
        prepare(database.schema(), conn, &definition).await?;
        self.worker.register(conn).await?;
        checkpoint::copy_dropped(database.schema(), conn, NAME, REBUILD).await?;
        if !catch_up(&mut self.worker, conn, shutdown, |_| {}).await? {
            self.worker.finish(conn).await?;
            return Ok(Rebuilt::Stopped);
        }
        let mut switching = database.connect().await?;
        let mut tx = switching.begin().await?;
        if !self.permitted(checkpoint::lock_all(database.schema(), &mut tx, NAME).await?)? {
            return Ok(Rebuilt::NothingThere);
        }
        // Once more, on the other connection, now that nobody applies anything: the fence of this window shows at least
        // what any checkpoint in use has applied, so that nothing in use is undone.
        if !catch_up(&mut self.worker, conn, shutdown, |_| {}).await? {
            return Ok(Rebuilt::Stopped);
        }
        self.worker.finish(conn).await?;
        switch(database.schema(), &mut tx, &definition).await?;
        tx.commit().await?;
        self.worker.projection().inner().switched();
        Ok(Rebuilt::Switched)
    }

    /// Whether there is a projection to rebuild, given its definition; an error if it is another one and may not be.
    fn permitted(&self, stored: Option<String>) -> Result<bool, RegisterError> {
        let Some(stored) = stored else { return Ok(false) };
        let given = definition(self.worker.projection());
        if stored == given || self.new_definition {
            return Ok(true);
        }
        Err(RegisterError::OtherDefinition { projection: NAME.to_owned(), stored, given })
    }
}
