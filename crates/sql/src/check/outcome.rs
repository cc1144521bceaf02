//! How a file is checked, and what comes of it.

use super::finding::Finding;
use super::sample::Sample;
use evenfold::database::describe;
use evenfold::{BoxError, Fatal};
use std::time::Duration;

/// How a file is checked.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// What is folded.
    pub sample: Sample,
    /// Where the small batches end: the same for the same number.
    pub seed: u64,
    /// Whether the plans are wanted.
    pub plans: bool,
}

/// What a check has seen.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Checked {
    /// The mistakes. None are found where nothing is [folded](Self::events).
    pub findings: Vec<Finding>,
    /// What is no mistake by itself.
    pub warnings: Vec<String>,
    /// How many statements there are for a batch; none for a body that is run for each event.
    pub statements: Option<usize>,
    /// The tables that are written, and their rows after the fold as one batch.
    pub tables: Vec<TableRows>,
    /// Tables of others that are read.
    pub reads: Vec<String>,
    /// How many events were folded.
    pub events: usize,
    /// How many aggregates these are of.
    pub aggregates: usize,
    /// The positions of the first and the last.
    pub positions: Option<(i64, i64)>,
    /// How many small batches there were, and how many events each had at most.
    pub batches: Option<(usize, usize)>,
    /// How many partitions there were, of which each had an aggregate.
    pub partitions: Option<usize>,
    /// How long the statements took, per event: in one batch, and in small ones.
    pub per_event: Option<(Duration, Duration)>,
    /// The plan of each statement, for the sample as one batch.
    pub plans: Vec<String>,
}

/// The rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// The table.
    pub table: String,
    /// How many.
    pub rows: i64,
    /// One of them, as JSON.
    pub example: Option<String>,
    /// The columns that are NULL in each.
    pub always_null: Vec<String>,
}

/// Why a file can't be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Something in it is not allowed, or can't be run: a worker would end with this sentence.
    #[error("{0}")]
    Refused(String),
    /// The role may make no schema.
    #[error(
        "{role} may not make the schemas that a projection is tried in, which are rolled back: GRANT CREATE, TEMPORARY ON \
         DATABASE {database} TO {role}"
    )]
    NoRight {
        /// The role, as SQL has it.
        role: String,
        /// The database, as SQL has it.
        database: String,
    },
    /// The database's.
    #[error("{}", describe(.0))]
    Database(#[from] sqlx::Error),
}

impl From<BoxError> for CheckError {
    fn from(error: BoxError) -> Self {
        match error.downcast::<sqlx::Error>() {
            Ok(error) => Self::Database(*error),
            Err(error) => Self::Refused(match error.downcast::<Fatal>() {
                Ok(fatal) => fatal.0,
                Err(error) => error.to_string(),
            }),
        }
    }
}
