//! Whether a read model is what the log makes of it: everything that is applied is folded again, and compared.

use super::compare::{VerifiedTable, compare, in_use};
use super::fold::{FoldError, Folded, RefusedEvent, fold_applied};
use super::tables::{Shadow, ShadowError};
use crate::checkpoint::{self, RegisterError};
use crate::class::Class;
use crate::database::Schema;
use crate::log::SourceError;
use crate::number::Position;
use crate::projection::{BoxError, Projection, RowsWritten, definition};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What a verification has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Whether a worker has begun the projection.
    pub begun: bool,
    /// How many events are applied, and were folded again.
    pub events: u64,
    /// Its tables, in the order of their names. Empty if it is not begun and has none, or if events were refused.
    pub tables: Vec<VerifiedTable>,
    /// Events that are applied, and that the projection refuses now: the first ones. Nothing was compared then.
    pub refused: Vec<RefusedEvent>,
    /// How many aggregates were erased after the projection had applied events of them: rows that differ may do so for
    /// that alone.
    pub erased: u64,
    /// How long it took: for as long its snapshot was open, and no row version that is newer could be removed.
    pub took: Duration,
}

impl Verified {
    /// Whether the read model is what the log makes of it, as far as anything is applied.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.refused.is_empty() && self.tables.iter().all(VerifiedTable::agrees)
    }
}

/// Why a projection could not be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It has another definition than its workers have, or its checkpoints are incomplete.
    #[error(transparent)]
    Register(RegisterError),
    /// Its tables can't be made a second time.
    #[error(transparent)]
    Shadow(ShadowError),
    /// It has failed at events that are applied.
    #[error(
        "the projection {projection} fails at the events from position {first} to {last}, which are applied: {}",
        crate::database::describe_any(.error.as_ref())
    )]
    Apply {
        /// The projection.
        projection: String,
        /// The first event of the batch.
        first: Position,
        /// The last one.
        last: Position,
        /// What it has failed with.
        error: BoxError,
    },
    /// A table was replaced or emptied while its verification began.
    #[error("a table of the projection {projection} was replaced at this moment: run it again")]
    Replaced {
        /// The projection.
        projection: String,
    },
    /// The log is one that others write, and can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

impl From<RegisterError> for VerifyError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Database(error) => Self::Database(error),
            other => Self::Register(other),
        }
    }
}

impl From<ShadowError> for VerifyError {
    fn from(error: ShadowError) -> Self {
        match error {
            ShadowError::Database(error) => Self::Database(error),
            other => Self::Shadow(other),
        }
    }
}

/// Folds every event that is applied again, into a shadow of the projection's tables, and compares: at most `limit`
/// rows of each table are listed. Right also while workers run, since everything is as of one snapshot: one transaction
/// that is REPEATABLE READ, and is rolled back. The projection must be a fresh one, and is of no use afterwards.
///
/// The snapshot is open for as long as folding the log takes.
///
/// # Errors
///
/// See [`VerifyError`].
///
/// # Cancel safety
///
/// One transaction, which is never committed.
pub async fn verify<P: Projection>(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &mut P,
    limit: u32,
) -> Result<Verified, VerifyError> {
    let mut tx = conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let outcome = in_transaction(schema, &mut tx, projection, limit).await;
    tx.rollback().await?;
    outcome
}

async fn in_transaction<P: Projection>(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &mut P,
    limit: u32,
) -> Result<Verified, VerifyError> {
    let (started, name) = (Instant::now(), projection.name().to_owned());
    let whole = Class::partition(0, 1).map_err(RegisterError::from)?;
    checkpoint::check_begun(schema, tx, &name, &definition(projection)).await?;
    let before = RowsWritten::now(tx).await?;
    let begun = checkpoint::definition_of(schema, tx, &name).await?.is_some();
    let shadow = Shadow::named(tx, &format!("evenfold_verify_{}", Uuid::new_v4().simple()), &name).await?;
    shadow.make(tx).await?;
    shadow.enter(tx).await?;
    let tables = shadow.fill(tx, projection).await?;
    shadow.leave(tx).await?;
    let Some(in_use) = in_use(tx, &tables).await? else { return Err(VerifyError::Replaced { projection: name }) };
    shadow.enter(tx).await?;
    let Folded { events, refused } = match fold_applied(schema, tx, projection, &name, whole).await {
        Ok(folded) => folded,
        Err(FoldError::Apply { first, last, error }) => {
            return Err(VerifyError::Apply { projection: name, first, last, error });
        }
        Err(FoldError::Source(error)) => return Err(error.into()),
        Err(FoldError::Database(error)) => return Err(error.into()),
    };
    shadow.check_written(tx, schema.name(), &before).await?;
    let erased = checkpoint::erased_since_applied(schema, tx, &name).await?;
    let mut tables = Vec::with_capacity(in_use.len());
    if refused.is_empty() {
        for table in in_use.into_iter().filter(|table| begun || table.quoted.is_some()) {
            tables.push(compare(tx, &shadow, table, limit).await?);
        }
    }
    Ok(Verified { begun, events, tables, refused, erased, took: started.elapsed() })
}
