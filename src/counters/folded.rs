//! Comparing the counters with a log that others write, which SQL in the counters' database can't read: what is applied
//! is folded again.

use super::mismatches::decode;
use super::{Counters, Mismatch, NAME, UnreadableEvent};
use crate::checkpoint::{self, RegisterError};
use crate::class::Class;
use crate::counter::AmountPointer;
use crate::database::Schema;
use crate::log::Source;
use crate::log::foreign::Foreign;
use crate::projection::{Sourced, definition};
use crate::shadow::{FoldError, Folded, RefusedEvent, VerifyError, fold_applied};
use sqlx::{Connection, PgConnection, Row};

/// The most counters that are kept in memory, and at least those of one batch.
const MAX_ACTORS: usize = 100_000;

/// Aggregates with parked events have not got every event, and a version that an operator's drop has moved or not.
///
/// Rows were removed from the log where it has fewer events of an aggregate than were applied, ends no later, and has
/// versions for all that were applied: each has one of its own, of 1 or more, so that more events than the last version
/// is high were not applied once each. Without versions ($3) that can't be known.
const DIFFER: &str = "WITH differing (aggregate_type, aggregate_id, events, value, version, last_position,
                 c_events, c_value, c_version, c_last_position, is_removed) AS MATERIALIZED (
    SELECT aggregate_type, aggregate_id,
           e.events, e.value::text, e.version, e.last_position, c.events, c.value::text, c.version, c.last_position,
           coalesce($3 AND c.events > coalesce(e.events, 0) AND c.events <= c.version
                    AND c.version >= coalesce(e.version, 0) AND c.last_position >= coalesce(e.last_position, 0), false)
    FROM evenfold.counters_rebuild e FULL JOIN evenfold.counters c USING (aggregate_type, aggregate_id)
    WHERE (coalesce(e.events, 0), coalesce(e.value, 0), coalesce(e.last_position, 0))
          IS DISTINCT FROM (coalesce(c.events, 0), coalesce(c.value, 0), coalesce(c.last_position, 0))
       OR e.version IS DISTINCT FROM c.version AND NOT EXISTS (
           SELECT FROM evenfold.parked_events p
           WHERE p.projection = $1 AND p.aggregate_type = coalesce(e.aggregate_type, c.aggregate_type)
             AND p.aggregate_id = coalesce(e.aggregate_id, c.aggregate_id))
)
(SELECT *, 0::bigint FROM differing WHERE NOT is_removed ORDER BY aggregate_type, aggregate_id LIMIT $2)
UNION ALL
(SELECT *, count(*) OVER () FROM differing WHERE is_removed ORDER BY aggregate_type, aggregate_id LIMIT $2)";

/// What a comparison of the counters with a log that others write has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// The counters that are not the same in the read model, in the order of their names: the first ones.
    pub differ: Vec<Mismatch>,
    /// Those of which the log has fewer events than were applied, because rows were removed from it since: the first
    /// ones. These are right as far as anything shows.
    pub removed: Vec<Mismatch>,
    /// How many of those there are.
    pub removed_in_all: i64,
}

/// Folds the events of a log that others write that are applied once more, in a transaction that is rolled back, and
/// gives the counters that are not the same in the read model: at most `limit` of either kind. Right also while workers
/// run. A rebuild of the counters waits meanwhile.
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
) -> Result<Compared, VerifyError> {
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
) -> Result<Compared, VerifyError> {
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
        Ok(Folded { refused, .. }) => {
            return Ok(Compared { differ: refused.into_iter().map(unreadable).collect(), ..Compared::default() });
        }
        Err(FoldError::Apply { first, last, error }) => {
            return Err(VerifyError::Apply { projection: NAME.to_owned(), first, last, error });
        }
        Err(FoldError::Source(error)) => return Err(error.into()),
        Err(FoldError::Database(error)) => return Err(error.into()),
    }
    let has_versions = source.layout().foreign().is_some_and(Foreign::has_versions);
    let query = sqlx::query(schema.sql(DIFFER)).bind(NAME).bind(i64::from(limit)).bind(has_versions);
    let mut compared = Compared::default();
    for row in query.fetch_all(tx).await? {
        if row.try_get(10)? {
            compared.removed.push(decode(&row)?);
            compared.removed_in_all = row.try_get(11)?;
        } else {
            compared.differ.push(decode(&row)?);
        }
    }
    Ok(compared)
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
