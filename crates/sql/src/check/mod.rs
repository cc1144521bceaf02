//! Trying a file before anything is begun: where a batch ends and how many partitions there are is evenfold's to choose,
//! so the statements of a right projection make the same tables for any of them.
//!
//! A sample is folded as one batch, in many small batches, and one partition after the other; and as one batch once
//! more in another transaction, to find what is different each time. All of it is done in schemas that are made in
//! transactions which are rolled back: nothing is changed, whatever happens.

mod compare;
mod dry_run;
mod finding;
mod fold;
mod given;
mod sample;
mod shadow;
mod steps;

pub use dry_run::{DryRun, Expected, TableRow, dry_run};
pub use finding::{Difference, Finding, Parked, Way};
pub use given::{OutOfPlace, in_place};
pub use sample::Sample;

use crate::file::ProjectionFile;
use evenfold::database::describe;
use evenfold::{BoxError, Fatal, Schema};
use sqlx::{Connection, PgConnection, Postgres, Transaction};
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

/// Checks a file. The connection must be in no transaction, and its session no temporary table `batch`.
///
/// The transactions see one snapshot of the database each, and have it for as long as the folds take: VACUUM removes
/// nothing that is newer.
///
/// # Errors
///
/// Where the file can't be folded at all: see [`CheckError`]. What is found by folding it is in [`Checked`].
///
/// # Cancel safety
///
/// What a dropped check has done is rolled back.
pub async fn check(
    conn: &mut PgConnection,
    schema: &Schema,
    file: &ProjectionFile,
    options: &CheckOptions,
) -> Result<Checked, CheckError> {
    let mut tx = begin(conn).await?;
    let outcome = steps::fold_in_each_way(&mut tx, schema, file, options).await;
    tx.rollback().await?;
    let steps::Folded { mut checked, kept } = outcome?;
    let Some(kept) = kept else { return Ok(checked) };
    let mut tx = begin(conn).await?;
    let outcome = steps::fold_again(&mut tx, schema, file, options, &kept).await;
    tx.rollback().await?;
    if let Some(finding) = outcome? {
        // What is different each time is also different in another way of folding it.
        checked.findings.retain(|found| !matches!(found, Finding::Differs { .. }));
        checked.findings.push(finding);
    }
    Ok(checked)
}

/// A transaction that sees the tables of others as they are now, all along.
async fn begin(conn: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await
}
