//! What a step of a worker can end in.

use super::BoxError;
use crate::checkpoint::RegisterError;
use crate::class::Class;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
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
    /// Rows were removed from the projection's checkpoints, or added, by hand. Trying again is right: a rebuild restores
    /// them while the worker waits.
    #[error(transparent)]
    Incomplete(RegisterError),
    /// The number of partitions is being changed at this moment. Trying again is right.
    #[error("the number of partitions is being changed")]
    Moving,
    /// The database's. Trying again is right.
    #[error("{}", crate::database::told(.0))]
    Database(#[from] sqlx::Error),
    /// The projection's own. Trying again is right.
    #[error("the projection failed: {0}")]
    Projection(#[source] BoxError),
}

impl WorkerError {
    /// Whether trying again is of no use, because something must be changed in this process.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Superseded { .. } => true,
            Self::Register(error) => error.is_final(),
            Self::Incomplete(_) | Self::Moving | Self::Database(_) | Self::Projection(_) => false,
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

/// A batch that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Events that were applied.
    pub events: u64,
    /// Events that were parked.
    pub parked: u64,
    /// The position of the last of them.
    pub position: i64,
    /// Whether that was all: everything that was committed when the window was opened is applied.
    pub caught_up: bool,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Committed a batch.
    Applied(Applied),
    /// Brought the rows of a changed number of partitions closer together, with no event to apply.
    Converged,
    /// Found nothing to apply.
    CaughtUp,
    /// Found its checkpoint moved, by another worker or an operator: nothing of the batch was kept.
    Outrun,
    /// Left the partition to another worker.
    StandingBy,
}
