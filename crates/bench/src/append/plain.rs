//! The plainest table of events that a sound user would have, which everything is compared with.

use evenfold::schema::Schema;
use sqlx::PgConnection;

/// Positions from an identity, one event for each version of an aggregate, JSON, and when.
const CREATE: &str = "CREATE TABLE evenfold.plain (
    position       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    version        bigint      NOT NULL,
    event_type     text        NOT NULL,
    payload        json        NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (aggregate_type, aggregate_id, version)
)";

const INSERT: &str = "INSERT INTO evenfold.plain (aggregate_type, aggregate_id, version, event_type, payload)
    VALUES ('counter', $1, $2, 'incremented', $3::text::json)";

/// How much PostgreSQL has written ahead so far, in bytes.
const WRITTEN_AHEAD: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";

pub(super) async fn create(own: &Schema, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(own.sql(CREATE)).execute(conn).await.map(drop)
}

pub(super) async fn insert(
    own: &Schema,
    conn: &mut PgConnection,
    id: &str,
    version: i64,
    payload: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(own.sql(INSERT)).bind(id).bind(version).bind(payload).execute(conn).await.map(drop)
}

pub(super) async fn written_ahead(conn: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let bytes: i64 = sqlx::query_scalar(WRITTEN_AHEAD).fetch_one(conn).await?;
    Ok(bytes.unsigned_abs())
}
