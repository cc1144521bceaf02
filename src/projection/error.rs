//! Why a worker did not do a step, or did not run.

use super::BoxError;
use crate::checkpoint::RegisterError;
use crate::class::Class;
use crate::database::ConnectError;
use crate::log::SourceError;
use crate::number::Position;

/// An error of a projection's that trying again does not mend, because something must be changed in the projection: for
/// [`create`](super::Projection::create) and [`apply`](super::Projection::apply), which can fail with it. The worker
/// ends with this sentence, and nothing of the batch is applied or parked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(pub String);

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The projection has gone on with another number of partitions. Final.
    #[error(
        "superseded: the projection {projection} has gone on with {by} partitions, and {partition} is none of them; \
         start with --total-partitions={by}"
    )]
    Superseded {
        /// The projection.
        projection: String,
        /// The partition of this worker.
        partition: Class,
        /// The number of partitions that the projection has now.
        by: u32,
    },
    /// The projection can't be worked on as it is.
    #[error(transparent)]
    Register(RegisterError),
    /// Rows were removed from the projection's checkpoints, or added, by hand. Trying again is right: a rebuild
    /// restores them while the worker waits.
    #[error(transparent)]
    Incomplete(RegisterError),
    /// The number of partitions is being changed at this moment. Trying again is right.
    #[error("the number of partitions is being changed")]
    Moving,
    /// The database's. Trying again is right.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
    /// The log is one that others write, and can't be read. Trying again is right.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An event has come to a position of a log that nobody could write any more: final, as others before it may be
    /// lost.
    #[error(
        "an event has come to position {position} of {table} after every transaction had ended that could have drawn \
         it: its writers draw positions in one transaction and use them in another (a sequence with CACHE, or numbers \
         that are drawn ahead), and this projection may lack events; have each position drawn by the transaction that \
         uses it, and rebuild"
    )]
    Risen {
        /// The log's table.
        table: String,
        /// The event's position.
        position: Position,
    },
    /// The projection's own. Trying again is right.
    #[error("the projection failed at the events from position {first} to {last}: {}", crate::database::describe_any(.error.as_ref()))]
    Projection {
        /// The batch that it was given: its first event.
        first: Position,
        /// Its last event.
        last: Position,
        /// What it has failed with.
        #[source]
        error: BoxError,
    },
    /// The projection's own, and final: something must be changed in it.
    #[error("the projection {projection} can't go on, and nothing is parked: {reason}")]
    Fatal {
        /// The projection.
        projection: String,
        /// What must be changed.
        reason: Fatal,
    },
}

impl WorkerError {
    /// What a projection has failed with, at a batch from the first of these positions to the last.
    pub(super) fn of(projection: &str, (first, last): (Position, Position), error: BoxError) -> Self {
        match error.downcast() {
            Ok(reason) => Self::Fatal { projection: projection.to_owned(), reason: *reason },
            Err(error) => Self::Projection { first, last, error },
        }
    }

    /// Whether trying again is of no use, because something must be changed in this process.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Superseded { .. } | Self::Fatal { .. } | Self::Risen { .. } => true,
            Self::Register(error) => error.is_final(),
            Self::Incomplete(_) | Self::Moving | Self::Database(_) | Self::Source(_) | Self::Projection { .. } => false,
        }
    }

    /// Why a worker that runs could not register again.
    pub(super) fn refused(error: RegisterError) -> Self {
        match error {
            RegisterError::Database(error) => Self::Database(error),
            error @ RegisterError::Incomplete { .. } => Self::Incomplete(error),
            error => Self::Register(error),
        }
    }
}

/// Why a worker did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The projection was begun otherwise.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The partition is no more.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

impl RunError {
    /// Whether trying again is of no use, because something must be changed in this process: its number of partitions,
    /// or its settings. Everything else is the database's, and passes or is mended there.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Connect(_) => false,
            Self::Register(error) => error.is_final(),
            Self::Worker(error) => error.is_final(),
        }
    }
}
