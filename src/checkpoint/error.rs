//! Why a worker can't work on a projection.

use crate::class::{Class, ClassError};

/// Why a worker can't work on a projection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The projection was begun with other settings.
    #[error(
        "the projection {projection} is defined by ({stored}), and ({given}) was given: give the same settings, or \
         fold the log anew under the new ones, with `evenfold rebuild --new-definition` while the present {projection} \
         stay in use, or with `evenfold repair --start-over {projection}`, which empties them"
    )]
    OtherDefinition {
        /// Its name.
        projection: String,
        /// What it was begun with.
        stored: String,
        /// What was given.
        given: String,
    },
    /// Rows were removed from the checkpoints, or added to them, by hand: what a partition has applied can't be known.
    #[error(
        "the checkpoints of the projection {projection} do not stand for all of partition {partition}: rows were removed \
         or added by hand, and its events can't be applied; run `evenfold rebuild`, which restores those of the counters \
         (any other projection is to be started over)"
    )]
    Incomplete {
        /// The projection.
        projection: String,
        /// The partition.
        partition: Class,
    },
    /// What the projection keeps its read model in could not be created.
    #[error("the tables of the projection {projection} can't be created: {error}; nothing was begun")]
    Create {
        /// The projection.
        projection: String,
        /// Why not.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The step between the two numbers of partitions is too fine.
    #[error(transparent)]
    TooFine(#[from] ClassError),
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

impl RegisterError {
    /// Whether trying again is of no use, because something must be changed in the process that registers.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::OtherDefinition { .. } | Self::TooFine(_))
    }

    pub(super) fn other(projection: &str, stored: String, given: &str) -> Self {
        Self::OtherDefinition { projection: projection.to_owned(), stored, given: given.to_owned() }
    }
}
