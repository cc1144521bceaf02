//! The heartbeats of several workers of a process, in one statement.

use super::heartbeat::{Beat, millis};
use crate::database::Schema;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// What came of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is written.
    Yes,
    /// Another session has locked its row.
    Locked,
    /// The worker has no row yet.
    Missing,
}

/// Writes the heartbeats of workers that have a row already, in the order given. A row that somebody has locked is
/// passed over, so that it makes no other one late. Removes those of others that are more than a day old, as
/// [`beat`](super::beat) does: in a process that runs on no worker has a first one any more.
pub(crate) async fn beat_again(
    schema: &Schema,
    conn: &mut PgConnection,
    beats: &[Beat<'_>],
) -> Result<Vec<Written>, sqlx::Error> {
    let rows = sqlx::query(schema.sql(
        "WITH gone AS (
             DELETE FROM evenfold.heartbeats WHERE worker IN (
                 SELECT worker FROM evenfold.heartbeats
                 WHERE beat_at < now() - interval '1 day' AND worker <> ALL ($1) FOR UPDATE SKIP LOCKED
             )
         ), given AS (
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::float8[])
                 WITH ORDINALITY AS g (worker, state, applied, coordination_ms, compute_ms, per_second, ord)
         ), present AS (
             SELECT g.ord FROM given g CROSS JOIN LATERAL (
                 SELECT FROM evenfold.heartbeats h WHERE h.worker = g.worker OFFSET 0
             ) h
         ), unlocked AS MATERIALIZED (
             SELECT worker FROM evenfold.heartbeats WHERE worker = ANY ($1) FOR UPDATE SKIP LOCKED
         ), written AS (
             UPDATE evenfold.heartbeats h SET state = g.state, applied = g.applied, coordination_ms = g.coordination_ms,
                 compute_ms = g.compute_ms, per_second = g.per_second, beat_at = now()
             FROM given g JOIN unlocked USING (worker) WHERE h.worker = g.worker
             RETURNING g.ord
         )
         SELECT w.ord IS NOT NULL, p.ord IS NOT NULL
         FROM given g LEFT JOIN written w USING (ord) LEFT JOIN present p USING (ord) ORDER BY g.ord",
    ))
    .bind(beats.iter().map(|beat| beat.worker).collect::<Vec<Uuid>>())
    .bind(beats.iter().map(|beat| beat.state.as_str()).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| i64::try_from(beat.applied).unwrap_or(i64::MAX)).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| millis(beat.coordination)).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| millis(beat.compute)).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| beat.per_second).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let (written, present) = (row.try_get(0)?, row.try_get(1)?);
            Ok(if written {
                Written::Yes
            } else if present {
                Written::Locked
            } else {
                Written::Missing
            })
        })
        .collect()
}
