//! How a projection is rebuilt, and what becomes of it.

use super::switch::Switch;
use super::tables::ShadowError;
use crate::checkpoint::RegisterError;
use crate::database::ConnectError;
use crate::projection::{RunError, WorkerError};
use sqlx::PgConnection;
use std::time::Duration;

/// For how long the release of a claim is waited for, on a connection that may be silent by now.
const RELEASING: Duration = Duration::from_secs(1);

/// What became of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    /// What was rebuilt is in use.
    Switched,
    /// It was stopped; the next one goes on where it was.
    Stopped,
    /// There is nothing to rebuild: no worker has begun the projection.
    NothingThere,
}

/// What a rebuild of a projection's tables has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TablesRebuilt {
    /// What became of it.
    pub outcome: Rebuilt,
    /// Events that were applied by this run of it.
    pub applied: u64,
    /// What was done to the tables in use; none if it did not come to that.
    pub switch: Option<Switch>,
}

/// Why a rebuild has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// Two would fold into one table.
    #[error("another `evenfold rebuild` is at work on this database: wait until it has ended, or end it with Ctrl-C")]
    Busy,
    /// As a worker may fail, for one that the definition is another.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The projection can't be folded in a shadow, or what it has made can't be put in use.
    #[error(transparent)]
    Shadow(ShadowError),
}

impl RebuildError {
    /// Whether trying again is of no use before something is changed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Busy | Self::Shadow(_) => true,
            Self::Run(error) => error.is_final(),
        }
    }
}

/// Gives the claim of a rebuild back, so that the next one does not find it while the end of this connection is on its
/// way. Where it fails, that end does it.
pub(crate) async fn release(conn: &mut PgConnection) {
    let _ = tokio::time::timeout(RELEASING, sqlx::query("SELECT pg_advisory_unlock_all()").execute(conn)).await;
}

impl From<ShadowError> for RebuildError {
    fn from(error: ShadowError) -> Self {
        match error {
            ShadowError::Database(error) => error.into(),
            other => Self::Shadow(other),
        }
    }
}

impl From<sqlx::Error> for RebuildError {
    fn from(error: sqlx::Error) -> Self {
        Self::Run(WorkerError::Database(error).into())
    }
}

impl From<WorkerError> for RebuildError {
    fn from(error: WorkerError) -> Self {
        Self::Run(error.into())
    }
}

impl From<RegisterError> for RebuildError {
    fn from(error: RegisterError) -> Self {
        Self::Run(error.into())
    }
}

impl From<ConnectError> for RebuildError {
    fn from(error: ConnectError) -> Self {
        Self::Run(error.into())
    }
}

/// How a projection is rebuilt.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RebuildOptions {
    /// How many workers fold: 1 by default, [`MAX_WORKERS`](crate::projection::MAX_WORKERS) at most.
    pub workers: u32,
    /// The most events of one transaction: 50,000 by default.
    pub batch_size: usize,
    /// Whether the projection may have another definition than the one in use, and workers with that one end: not by
    /// default.
    pub new_definition: bool,
    /// Whether old tables that others take the place of are kept, in a schema of their own: not by default.
    pub keep_old: bool,
}

impl Default for RebuildOptions {
    fn default() -> Self {
        Self { workers: 1, batch_size: 50_000, new_definition: false, keep_old: false }
    }
}

impl RebuildOptions {
    /// The same with this many [`workers`](Self::workers).
    #[must_use]
    pub fn workers(self, workers: u32) -> Self {
        Self { workers, ..self }
    }

    /// The same with this [`batch_size`](Self::batch_size).
    #[must_use]
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// The same with this [`new_definition`](Self::new_definition).
    #[must_use]
    pub fn new_definition(self, new_definition: bool) -> Self {
        Self { new_definition, ..self }
    }

    /// The same with this [`keep_old`](Self::keep_old).
    #[must_use]
    pub fn keep_old(self, keep_old: bool) -> Self {
        Self { keep_old, ..self }
    }
}
