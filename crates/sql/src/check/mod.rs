//! Trying a file before anything is begun: where a batch ends and how many partitions there are is evenfold's to
//! choose, so the statements of a right projection make the same tables for any of them.
//!
//! A sample is folded as one batch, in many small batches, and one partition after the other; and as one batch once
//! more in another transaction, to find what is different each time. All of it is done in schemas that are made in
//! transactions which are rolled back: nothing is changed, whatever happens.

mod compare;
mod dry_run;
mod finding;
mod fold;
mod given;
mod outcome;
mod sample;
mod shadow;
mod steps;

pub use dry_run::{DryRun, Expected, TableRow, dry_run};
pub use finding::{Difference, Finding, Parked, Way};
pub use given::{OutOfPlace, in_place};
pub use outcome::{CheckError, CheckOptions, Checked, TableRows};
pub use sample::Sample;

use crate::file::ProjectionFile;
use evenfold::Schema;
use shadow::begin;
use sqlx::PgConnection;

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
