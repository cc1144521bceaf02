//! Removing everything of evenfold's from a database.

use super::LOCK;
use crate::checkpoint::DEAD_AFTER;
use crate::database::{MOVING, Schema, SchemaError, migrations};
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The statements that remove what the migrations make. Without CASCADE: what others have made of it, or put next to
/// it, is not evenfold's to remove, and PostgreSQL says what that is.
const REMOVE: &str = "
    DROP TABLE IF EXISTS evenfold.operations, evenfold.erasures, evenfold.leases, evenfold.topologies, evenfold.heartbeats,
        evenfold.parked_events, evenfold.checkpoints, evenfold.projections, evenfold.counters_rebuild, evenfold.counters, evenfold.log_origin,
        evenfold.events, evenfold._sqlx_migrations;
    DROP SEQUENCE IF EXISTS evenfold.checkpoint_revisions;
    DROP FUNCTION IF EXISTS evenfold.commit_counters(text, bigint, bigint, bigint, text, bigint, text, bigint[], uuid, bigint,
            text[], text[], bigint[], bigint[], bigint[], bigint[]),
        evenfold.erase(text, text, integer), evenfold.append(json, boolean),
        evenfold.append(text, text, text, json, bigint, uuid, json, boolean, timestamptz),
        evenfold.append_arrays(text[], text[], text[], json[], json[], bigint[], uuid[], timestamptz[], boolean),
        evenfold.check_events(text[], text[], text[], json[], json[], bigint[], uuid[]),
        evenfold.check_event_ids(text[], text[], uuid[]), evenfold.check_json(text, json),
        evenfold.place(), evenfold.refuse(), evenfold.new_event_id(), evenfold.hash(text);";

/// What is in a schema, for whoever is about to remove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// How many events the log has.
    pub events: u64,
    /// The projections that were begun, in the order of their names.
    pub projections: Vec<String>,
}

/// Why a schema was not removed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UninstallError {
    /// Workers are at work.
    #[error(
        "{worker} works on the projection {projection} in the schema {}: stop every worker first", .schema.name()
    )]
    AtWork {
        /// Which schema.
        schema: Schema,
        /// The process of one of them: host name and process id.
        worker: String,
        /// Its projection.
        projection: String,
    },
    /// Somebody has locked the tables.
    #[error(
        "the tables in the schema {} are in use: stop every worker, service and writer first (waited {} s)",
        .0.name(), MOVING.as_secs()
    )]
    InUse(Schema),
    /// Something of somebody else's is in the schema, or depends on what is in it.
    #[error(
        "the schema {} was not removed, because something that is not evenfold's needs it: {needs}; remove that first",
        .schema.name()
    )]
    Needed {
        /// Which schema.
        schema: Schema,
        /// What needs it.
        needs: String,
    },
    /// The schema is not there, or not evenfold's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// What is in a schema. Costs one pass over the log.
///
/// # Errors
///
/// [`UninstallError::Schema`], where there is nothing of evenfold's, or the database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn contents(schema: &Schema, conn: &mut PgConnection) -> Result<Contents, UninstallError> {
    ours(schema, conn).await?;
    let (events, projections): (i64, Vec<String>) = sqlx::query_as(schema.sql(
        "SELECT (SELECT count(*) FROM evenfold.events), ARRAY(SELECT name FROM evenfold.projections ORDER BY name)",
    ))
    .fetch_one(conn)
    .await?;
    Ok(Contents { events: events.unsigned_abs(), projections })
}

/// Removes the schema with everything of evenfold's that is in it: the log, the checkpoints, the counters, and the
/// table of the migrations. Nothing outside the schema is touched: the read models of other projections stay as they
/// are. One transaction.
///
/// # Errors
///
/// See [`UninstallError`].
///
/// # Cancel safety
///
/// A dropped removal has happened or not.
pub async fn uninstall(schema: &Schema, conn: &mut PgConnection) -> Result<(), UninstallError> {
    let mut tx = conn.begin().await?;
    let removed = remove(schema, &mut tx).await;
    if removed.is_ok() {
        tx.commit().await?;
    } else {
        // What went wrong is known; a transaction that is merely dropped keeps its locks.
        let _ = tx.rollback().await;
    }
    removed
}

async fn remove(schema: &Schema, tx: &mut PgConnection) -> Result<(), UninstallError> {
    sqlx::query(LOCK).execute(&mut *tx).await?;
    ours(schema, tx).await?;
    let locked = format!(
        "SET LOCAL lock_timeout = '{}ms'; LOCK TABLE {schema}.events, {schema}.checkpoints, {schema}.heartbeats
         IN ACCESS EXCLUSIVE MODE",
        MOVING.as_millis()
    );
    // Put together from our own text, and a name that was checked.
    let refused = |error| refused(schema, error);
    sqlx::raw_sql(AssertSqlSafe(locked)).execute(&mut *tx).await.map_err(refused)?;
    // Whoever begins now waits for the lock, and finds nothing.
    let at_work: Option<(String, String)> = sqlx::query_as(schema.sql(
        "SELECT process, projection FROM evenfold.heartbeats
         WHERE beat_at > clock_timestamp() - $1 * interval '1 second' ORDER BY beat_at DESC LIMIT 1",
    ))
    .bind(DEAD_AFTER.as_secs_f64())
    .fetch_optional(&mut *tx)
    .await?;
    if let Some((worker, projection)) = at_work {
        return Err(UninstallError::AtWork { schema: schema.clone(), worker, projection });
    }
    let all = format!("{} DROP SCHEMA {schema}", schema.text(REMOVE));
    sqlx::raw_sql(AssertSqlSafe(all)).execute(tx).await.map_err(refused)?;
    Ok(())
}

/// Refuses a schema that is not there, and one of somebody else's. One that another version has migrated can be
/// removed.
async fn ours(schema: &Schema, conn: &mut PgConnection) -> Result<(), SchemaError> {
    match migrations(schema, conn).await {
        Ok(()) | Err(SchemaError::Newer(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn refused(schema: &Schema, error: sqlx::Error) -> UninstallError {
    let schema = schema.clone();
    let answer = error.as_database_error();
    match answer.and_then(DatabaseError::code).as_deref() {
        // lock_not_available
        Some("55P03") => UninstallError::InUse(schema),
        // dependent_objects_still_exist
        Some("2BP01") => {
            let detail = answer.and_then(|answer| answer.try_downcast_ref::<sqlx::postgres::PgDatabaseError>());
            let detail = detail.and_then(|answer| answer.detail()).unwrap_or_default();
            UninstallError::Needed { schema, needs: detail.lines().collect::<Vec<_>>().join(", ") }
        }
        _ => UninstallError::Database(error),
    }
}
