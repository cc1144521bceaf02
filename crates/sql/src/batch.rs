//! The relation `batch` where there is none yet: an empty table, to look at statements with.

use sqlx::PgConnection;

const CREATE: &str = "CREATE TEMPORARY TABLE batch (
    position bigint, aggregate_type text, aggregate_id text, version bigint, event_type text, payload json,
    metadata json, event_id uuid, recorded_at timestamptz, erased boolean
)";

/// Makes it, in place of the view that the session may have.
pub(crate) async fn make(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('pg_temp.batch') IS NOT NULL").fetch_one(&mut *conn).await?;
    if there {
        let drop = "DROP VIEW pg_temp.batch; SELECT set_config('evenfold_batch.view', '', false)";
        sqlx::raw_sql(drop).execute(&mut *conn).await?;
    }
    sqlx::raw_sql(CREATE).execute(conn).await.map(drop)
}

/// Makes room for the view.
pub(crate) async fn remove(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("DROP TABLE pg_temp.batch").execute(conn).await.map(drop)
}
