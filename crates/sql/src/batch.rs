//! The relation `batch`: a temporary table of the worker's session, filled with the events of one batch.

use evenfold::{Batch, Schema};
use sqlx::PgConnection;

/// Its texts have the collation of the database and not that of the log, which is "C": a comparison with an ordinary
/// key would take that one, and no index of the key could be used.
const CREATE: &str = "CREATE TEMPORARY TABLE batch (
    position bigint, aggregate_type text, aggregate_id text, version bigint, event_type text, payload json,
    metadata json, event_id uuid, recorded_at timestamptz
) ON COMMIT DELETE ROWS";

/// The columns are read where they are: no event leaves the server a second time.
const FILL: &str = "INSERT INTO pg_temp.batch
    SELECT position, aggregate_type, aggregate_id, version, event_type, payload, metadata, event_id, recorded_at
    FROM evenfold.events WHERE position = ANY ($1::bigint[])";

/// Makes it where it is not there.
pub(crate) async fn make(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let missing: bool = sqlx::query_scalar("SELECT to_regclass('pg_temp.batch') IS NULL").fetch_one(&mut *conn).await?;
    if missing {
        sqlx::raw_sql(CREATE).execute(conn).await?;
    }
    Ok(())
}

/// Puts the events of this batch in the place of those of the one before it in its transaction. Gives how many.
pub(crate) async fn fill(conn: &mut PgConnection, batch: &Batch<'_>, filled: bool) -> Result<usize, sqlx::Error> {
    let positions: Vec<i64> = batch.events().map(|event| event.position.get()).collect();
    if filled {
        sqlx::raw_sql("TRUNCATE pg_temp.batch").execute(&mut *conn).await?;
    }
    let there = sqlx::query(batch.schema().sql(FILL)).bind(&positions).execute(conn).await?.rows_affected();
    // The log keeps what it has: a missing event would be passed over for ever.
    if there == positions.len() as u64 {
        Ok(positions.len())
    } else {
        Err(missing(batch.schema(), positions.len(), there))
    }
}

fn missing(schema: &Schema, read: usize, there: u64) -> sqlx::Error {
    sqlx::Error::Protocol(format!("of {read} events that were read from {schema}.events only {there} are still there"))
}
