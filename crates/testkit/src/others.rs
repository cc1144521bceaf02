//! A log that others write, and whether a projection that notes each event was given each once.

use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Its table, as the library pupsourcing has it: with the preset of that name it needs no settings.
pub const LOG_OF_OTHERS: &str = "CREATE TABLE public.events (
    global_position bigserial PRIMARY KEY,
    bounded_context text NOT NULL,
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    aggregate_version bigint NOT NULL,
    event_id uuid NOT NULL UNIQUE,
    event_type text NOT NULL,
    event_version int NOT NULL DEFAULT 1,
    payload bytea NOT NULL,
    trace_id text,
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (bounded_context, aggregate_type, aggregate_id, aggregate_version)
)";

/// Fails unless the projection of `crates/cli/tests/projections/noted.sql` was given every event of that log once, and
/// those of an aggregate in the order of their versions. Gives how many there are.
pub async fn assert_each_noted_once(log: &mut PgConnection, read_model: &mut PgConnection) -> usize {
    let events: Vec<(i64, String, i64)> =
        sqlx::query_as("SELECT global_position, aggregate_id, aggregate_version FROM public.events")
            .fetch_all(log)
            .await
            .unwrap();
    let noted: Vec<(i64, String, i64, i64, i64)> =
        sqlx::query_as("SELECT position, id, version, nth, times FROM noted").fetch_all(read_model).await.unwrap();
    let mut noted: BTreeMap<i64, (String, i64, i64, i64)> =
        noted.into_iter().map(|(position, id, version, nth, times)| (position, (id, version, nth, times))).collect();
    let count = events.len();
    for (position, aggregate, version) in events {
        // Once, as the how manyth of its aggregate.
        let once = Some((aggregate, version, version, 1));
        assert_eq!(noted.remove(&position), once, "the event at {position}: aggregate, version, how manyth, how often");
    }
    assert!(noted.is_empty(), "applied, and not in the log: {noted:?}");
    count
}
