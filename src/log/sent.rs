//! The events of a batch as a relation that SQL can read, where they are in another database: they are sent.

use super::relation::show;
use crate::event::{Event, Timestamp};
use crate::number::{Position, Version};
use sqlx::PgConnection;
use uuid::Uuid;

/// Where the events of a batch are that were read from another database.
const ROWS: &str = "CREATE TEMPORARY TABLE IF NOT EXISTS evenfold_rows (
    position bigint, aggregate_type text, aggregate_id text, version bigint, event_type text, payload json,
    metadata json, event_id uuid, recorded_at timestamptz
) ON COMMIT DELETE ROWS";

const SHOW_ROWS: &str = "CREATE OR REPLACE TEMPORARY VIEW batch AS
SELECT position, aggregate_type, aggregate_id, version, event_type, payload, metadata, event_id, recorded_at,
    payload::text = '{\"evenfold_erased\":true}' AS erased
FROM pg_temp.evenfold_rows";

const FILL_ROWS: &str = "INSERT INTO pg_temp.evenfold_rows
SELECT position, aggregate_type, aggregate_id, version, event_type, payload::json, metadata::json, event_id, recorded_at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::uuid[],
            $9::timestamptz[])
    AS r (position, aggregate_type, aggregate_id, version, event_type, payload, metadata, event_id, recorded_at)";

/// What is wrong with a projection whose events were read for no view.
const NO_ENVELOPE: &str = "the events were read without their envelopes, which the view has: a projection that calls \
    Batch::make_view must declare it by Projection::makes_views";

/// Makes the view `batch` show these events, which are in another database: they are sent, into a temporary table.
///
/// # Errors
///
/// The database's, and [`sqlx::Error::Configuration`] where the events were read without their envelopes.
///
/// # Cancel safety
///
/// Part of the caller's transaction, in which it must be.
pub async fn show_sent<'e>(
    conn: &mut PgConnection,
    events: impl Iterator<Item = Event<'e>>,
    session: &[(&str, &str)],
) -> Result<(), sqlx::Error> {
    let mut rows = SentRows::default();
    for event in events {
        rows.push(&event)?;
    }
    // Quietly where it is there: a notice would be logged for each batch.
    let filled = sqlx::query_scalar("SELECT to_regclass('pg_temp.evenfold_rows') IS NOT NULL");
    if filled.fetch_one(&mut *conn).await? {
        // What an earlier batch of the transaction has left; a commit removes the rows by itself.
        let left: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_temp.evenfold_rows)").fetch_one(&mut *conn).await?;
        if left {
            sqlx::raw_sql("TRUNCATE pg_temp.evenfold_rows").execute(&mut *conn).await?;
        }
    } else {
        sqlx::raw_sql(ROWS).execute(&mut *conn).await?;
    }
    show(conn, SHOW_ROWS, &[], session).await?;
    sqlx::query(FILL_ROWS)
        .bind(rows.positions)
        .bind(rows.aggregate_types)
        .bind(rows.aggregate_ids)
        .bind(rows.versions)
        .bind(rows.event_types)
        .bind(rows.payloads)
        .bind(rows.metadata)
        .bind(rows.event_ids)
        .bind(rows.recorded_at)
        .execute(conn)
        .await
        .map(drop)
}

/// Events as columns.
#[derive(Default)]
struct SentRows<'e> {
    positions: Vec<Position>,
    aggregate_types: Vec<&'e str>,
    aggregate_ids: Vec<&'e str>,
    versions: Vec<Version>,
    event_types: Vec<&'e str>,
    payloads: Vec<&'e str>,
    metadata: Vec<Option<&'e str>>,
    event_ids: Vec<Uuid>,
    recorded_at: Vec<Timestamp>,
}

impl<'e> SentRows<'e> {
    fn push(&mut self, event: &Event<'e>) -> Result<(), sqlx::Error> {
        let Some(envelope) = event.envelope else { return Err(sqlx::Error::Configuration(NO_ENVELOPE.into())) };
        self.positions.push(event.position);
        self.aggregate_types.push(event.aggregate_type);
        self.aggregate_ids.push(event.aggregate_id);
        self.versions.push(event.version);
        self.event_types.push(event.event_type);
        self.payloads.push(event.payload);
        self.metadata.push(envelope.metadata);
        self.event_ids.push(envelope.event_id);
        self.recorded_at.push(envelope.recorded_at);
        Ok(())
    }
}
