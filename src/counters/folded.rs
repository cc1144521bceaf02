//! Comparing the counters with a log that others write, which SQL in the counters' database can't read: what is applied
//! is folded again.

use super::mismatches::decode;
use super::{Counters, Mismatch, NAME, UnreadableEvent};
use crate::checkpoint::{self, RegisterError};
use crate::class::Class;
use crate::counter::AmountPointer;
use crate::database::Schema;
use crate::log::Source;
use crate::projection::{Sourced, definition};
use crate::shadow::{FoldError, Folded, RefusedEvent, VerifyError, fold_applied};
use sqlx::{Connection, PgConnection};

/// The most counters that are kept in memory, and at least those of one batch.
const MAX_ACTORS: usize = 100_000;

/// Aggregates with parked events have not got every event, and a version that an operator's drop has moved or not.
const DIFFER: &str = "SELECT aggregate_type, aggregate_id,
       e.events, e.value::text, e.version, e.last_position, c.events, c.value::text, c.version, c.last_position
FROM evenfold.counters_rebuild e FULL JOIN evenfold.counters c USING (aggregate_type, aggregate_id)
WHERE (coalesce(e.events, 0), coalesce(e.value, 0), coalesce(e.last_position, 0))
      IS DISTINCT FROM (coalesce(c.events, 0), coalesce(c.value, 0), coalesce(c.last_position, 0))
   OR e.version IS DISTINCT FROM c.version AND NOT EXISTS (
       SELECT FROM evenfold.parked_events p
       WHERE p.projection = $1 AND p.aggregate_type = coalesce(e.aggregate_type, c.aggregate_type)
         AND p.aggregate_id = coalesce(e.aggregate_id, c.aggregate_id))
ORDER BY aggregate_type, aggregate_id
LIMIT $2";

/// Folds the events of a log that others write that are applied once more, in a transaction that is rolled back, and
/// gives the counters that are not the same in the read model, in the order of their names: at most `limit`. Right also
/// while workers run. A rebuild of the counters waits meanwhile.
///
/// # Errors
///
/// See [`VerifyError`].
///
/// # Cancel safety
///
/// One transaction, which is never committed.
pub async fn mismatches_of(
    schema: &Schema,
    conn: &mut PgConnection,
    source: &Source,
    pointer: &AmountPointer,
    limit: u32,
) -> Result<Vec<Mismatch>, VerifyError> {
    let mut tx = conn.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let differ = in_transaction(schema, &mut tx, source, pointer, limit).await;
    tx.rollback().await?;
    differ
}

async fn in_transaction(
    schema: &Schema,
    tx: &mut PgConnection,
    source: &Source,
    pointer: &AmountPointer,
    limit: u32,
) -> Result<Vec<Mismatch>, VerifyError> {
    let whole = Class::partition(0, 1).map_err(RegisterError::from)?;
    let counters = Counters::new(pointer.clone(), MAX_ACTORS);
    let in_use = Sourced::new(counters, Some(source.clone()));
    checkpoint::check_begun(schema, tx, NAME, &definition(&in_use)).await?;
    // What an earlier rebuild has left stays, since this is rolled back.
    sqlx::raw_sql(schema.sql("DELETE FROM evenfold.counters_rebuild")).execute(&mut *tx).await?;
    let shadow = Counters::new(pointer.clone(), MAX_ACTORS).in_rebuild();
    let mut shadow = Sourced::new(shadow, Some(source.clone()));
    match fold_applied(schema, tx, &mut shadow, NAME, whole).await {
        Ok(Folded { refused, .. }) if refused.is_empty() => {}
        Ok(Folded { refused, .. }) => return Ok(refused.into_iter().map(unreadable).collect()),
        Err(FoldError::Apply { first, last, error }) => {
            return Err(VerifyError::Apply { projection: NAME.to_owned(), first, last, error });
        }
        Err(FoldError::Source(error)) => return Err(error.into()),
        Err(FoldError::Database(error)) => return Err(error.into()),
    }
    let rows = sqlx::query(schema.sql(DIFFER)).bind(NAME).bind(i64::from(limit)).fetch_all(tx).await?;
    Ok(rows.iter().map(decode).collect::<Result<_, _>>()?)
}

/// An event that is applied by the checkpoints and refused now: what its counter is by the log can't be known.
fn unreadable(refused: RefusedEvent) -> Mismatch {
    let RefusedEvent { position, aggregate, reason, .. } = refused;
    Mismatch {
        aggregate_type: aggregate.aggregate_type,
        aggregate_id: aggregate.aggregate_id,
        log: None,
        read_model: None,
        unreadable: Some(UnreadableEvent { position, reason }),
    }
}
