//! Each library's table. `docs/sources.md` has the versions, and what is done about what they do in addition.

use super::Payload;
use super::preset::{AggregateOf, Drawn, Preset};

/// What most of them have in common.
const USUAL: Preset = Preset {
    name: "",
    schema: "public",
    table: "",
    any_name: false,
    from: None,
    rows: None,
    position: "",
    drawn: Drawn::Column,
    aggregate: AggregateOf::Columns("", ""),
    version: None,
    first_version: 1,
    event_id: None,
    event_type: "",
    payload: "",
    payload_as: Payload::Text,
    metadata: None,
    recorded_at: None,
    filter: None,
    drawn_before: None,
};

/// Every library whose table is known.
pub const PRESETS: [Preset; 14] = [
    MESSAGE_DB,
    EMMETT,
    EVENTUOUS,
    COMMANDED,
    PUPSOURCING,
    MARTEN,
    AXON_JDBC,
    PEKKO_JDBC,
    Preset { name: "akka-jdbc", ..PEKKO_JDBC },
    RAILS_EVENT_STORE,
    PYEVENTSOURCING,
    PROOPH,
    PATCHLEVEL,
    DISINTEGRATE,
];

const MESSAGE_DB: Preset = Preset {
    name: "message-db",
    schema: "message_store",
    table: "messages",
    position: "global_position",
    aggregate: AggregateOf::Stream("e.stream_name", "-"),
    version: Some("e.position"),
    first_version: 0,
    event_id: Some("e.id"),
    event_type: "e.type",
    payload: "e.data",
    metadata: Some("e.metadata"),
    recorded_at: Some("e.time AT TIME ZONE 'UTC'"),
    ..USUAL
};

const EMMETT: Preset = Preset {
    name: "emmett",
    table: "emt_messages",
    position: "global_position",
    aggregate: AggregateOf::StreamIn {
        name: "e.stream_id",
        separator: "-",
        partition: "e.partition",
        default: "emt:default",
    },
    version: Some("e.stream_position"),
    event_id: Some("e.message_id"),
    event_type: "e.message_type",
    payload: "e.message_data",
    metadata: Some("e.message_metadata"),
    recorded_at: Some("e.created"),
    // Commands are kept in the same table.
    filter: Some("e.message_kind = 'E'"),
    ..USUAL
};

const EVENTUOUS: Preset = Preset {
    name: "eventuous",
    schema: "eventuous",
    table: "messages",
    from: Some("{schema}.messages e JOIN {schema}.streams s ON s.stream_id = e.stream_id"),
    position: "global_position",
    aggregate: AggregateOf::Stream("s.stream_name", "-"),
    version: Some("e.stream_position"),
    first_version: 0,
    event_id: Some("e.message_id"),
    event_type: "e.message_type",
    payload: "e.json_data",
    metadata: Some("e.json_metadata"),
    recorded_at: Some("e.created AT TIME ZONE 'UTC'"),
    ..USUAL
};

/// An event is in its own stream and in `$all`, which is the stream 0.
const COMMANDED: Preset = Preset {
    name: "commanded",
    table: "stream_events",
    from: Some(
        "{schema}.stream_events e JOIN {schema}.events v ON v.event_id = e.event_id \
         JOIN {schema}.streams s ON s.stream_id = e.original_stream_id",
    ),
    rows: Some(("stream_id", "0")),
    position: "stream_version",
    drawn: Drawn::InOrder,
    aggregate: AggregateOf::Columns("'stream'", "s.stream_uuid"),
    version: Some("e.original_stream_version"),
    event_id: Some("e.event_id"),
    event_type: "v.event_type",
    payload: "v.data",
    payload_as: Payload::Bytes,
    metadata: Some("v.metadata"),
    recorded_at: Some("v.created_at"),
    ..USUAL
};

/// A point and a percent sign in a bounded context are written as others, so that the first point ends it.
const PUPSOURCING: Preset = Preset {
    name: "pupsourcing",
    table: "events",
    any_name: true,
    position: "global_position",
    aggregate: AggregateOf::Columns(
        "replace(replace(e.bounded_context, '%', '%25'), '.', '%2E') || '.' || e.aggregate_type",
        "e.aggregate_id",
    ),
    version: Some("e.aggregate_version"),
    event_id: Some("e.event_id"),
    event_type: "e.event_type",
    payload: "e.payload",
    payload_as: Payload::Bytes,
    metadata: Some("convert_to(e.metadata::text, 'UTF8')"),
    recorded_at: Some("e.created_at"),
    ..USUAL
};

/// Tenants have streams of their own, which may be called the same.
const MARTEN: Preset = Preset {
    name: "marten",
    table: "mt_events",
    position: "seq_id",
    aggregate: AggregateOf::Columns(
        "CASE e.tenant_id WHEN '*DEFAULT*' THEN 'stream' ELSE 'tenant:' || e.tenant_id END",
        "e.stream_id",
    ),
    version: Some("e.version"),
    event_id: Some("e.id"),
    event_type: "e.type",
    payload: "e.data",
    recorded_at: Some("e.timestamp"),
    ..USUAL
};

const AXON_JDBC: Preset = Preset {
    name: "axon-jdbc",
    table: "domainevententry",
    any_name: true,
    position: "globalindex",
    aggregate: AggregateOf::Columns("coalesce(e.type, '')", "e.aggregateidentifier"),
    version: Some("e.sequencenumber"),
    first_version: 0,
    event_id: Some("e.eventidentifier"),
    event_type: "e.payloadtype",
    payload: "e.payload",
    payload_as: Payload::Bytes,
    metadata: Some("e.metadata"),
    recorded_at: Some("e.timestamp"),
    ..USUAL
};

const PEKKO_JDBC: Preset = Preset {
    name: "pekko-jdbc",
    table: "event_journal",
    any_name: true,
    position: "ordering",
    aggregate: AggregateOf::Stream("e.persistence_id", "|"),
    version: Some("e.sequence_number"),
    event_type: "e.event_ser_manifest",
    payload: "e.event_payload",
    payload_as: Payload::Bytes,
    recorded_at: Some("to_timestamp(e.write_timestamp / 1000.0)"),
    ..USUAL
};

/// An event may be in several streams: the first one is that which it was published to. Its position there may be null.
const RAILS_EVENT_STORE: Preset = Preset {
    name: "rails-event-store",
    table: "event_store_events",
    from: Some(
        "(SELECT v.*, coalesce((SELECT s.stream FROM {schema}.event_store_events_in_streams s \
         WHERE s.event_id = v.event_id ORDER BY s.id LIMIT 1), v.event_id::text) AS stream \
         FROM {schema}.event_store_events v) e",
    ),
    position: "id",
    aggregate: AggregateOf::Stream("e.stream", "$"),
    event_id: Some("e.event_id"),
    event_type: "e.event_type",
    payload: "e.data",
    metadata: Some("e.metadata"),
    recorded_at: Some("e.created_at AT TIME ZONE 'UTC'"),
    ..USUAL
};

const PYEVENTSOURCING: Preset = Preset {
    name: "pyeventsourcing",
    table: "stored_events",
    any_name: true,
    position: "notification_id",
    aggregate: AggregateOf::Columns("'aggregate'", "e.originator_id"),
    version: Some("e.originator_version"),
    event_type: "e.topic",
    payload: "e.state",
    payload_as: Payload::Bytes,
    ..USUAL
};

/// Each stream has a table of its own, whose name is a hash.
const PROOPH: Preset = Preset {
    name: "prooph",
    any_name: true,
    position: "no",
    aggregate: AggregateOf::Columns("e.metadata->>'_aggregate_type'", "e.metadata->>'_aggregate_id'"),
    version: Some("e.metadata->>'_aggregate_version'"),
    event_id: Some("e.event_id"),
    event_type: "e.event_name",
    payload: "e.payload",
    metadata: Some("e.metadata"),
    recorded_at: Some("e.created_at AT TIME ZONE 'UTC'"),
    ..USUAL
};

const PATCHLEVEL: Preset = Preset {
    name: "patchlevel",
    table: "event_store",
    any_name: true,
    position: "id",
    aggregate: AggregateOf::Columns("e.aggregate", "e.aggregate_id"),
    version: Some("e.playhead"),
    event_type: "e.event",
    payload: "e.payload",
    metadata: Some("e.custom_headers"),
    recorded_at: Some("e.recorded_on"),
    ..USUAL
};

/// Each application has other columns for what its events are about: which one is the aggregate is a choice.
const DISINTEGRATE: Preset = Preset {
    name: "disintegrate",
    table: "event",
    position: "event_id",
    aggregate: AggregateOf::Columns("'event'", ""),
    event_type: "e.event_type",
    payload: "e.payload",
    payload_as: Payload::Bytes,
    recorded_at: Some("e.inserted_at AT TIME ZONE 'UTC'"),
    drawn_before: Some(
        "its writers are of disintegrate-postgres before version 4, which draws positions in an earlier transaction (by the \
         table event_sequence), and events would be lost: have all of them use version 4, and run its \
         Migrator::migrate_v3_x_x_to_v4_0_0",
    ),
    ..USUAL
};

impl Preset {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The names of all of them.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        PRESETS.iter().map(|preset| preset.name).collect()
    }
}

/// Why a library's events can't be folded as they are; none if it is not known.
#[must_use]
pub fn why_not(name: &str) -> Option<&'static str> {
    match name {
        "cqrs-es" | "postgres-es" => Some(
            "the table of cqrs-es has no column that grows with each event, and so no order in which it could be \
             folded: docs/sources.md has the statements that add one; then map the table with --source custom",
        ),
        "akka-r2dbc" | "pekko-r2dbc" => Some(
            "the journal of the R2DBC plugin is ordered by a time that is not unique, and has no position: it can't be \
             folded as it is; the JDBC plugin's can (akka-jdbc, pekko-jdbc)",
        ),
        "axon-jpa" => Some(
            "JPA draws positions 50 at a time, in earlier transactions, or keeps payloads as large objects, unless it \
             is configured otherwise: where the payload is bytea, map the table with --source custom, with positions = \
             \"xid\" unless its sequence has INCREMENT 1",
        ),
        "sequent" => Some(
            "the table of sequent has no position: add a column with a sequence as its default and an index, and map the \
             table with --source custom, with positions = \"xid\"",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_a_name_of_its_own_and_a_mapping() {
        let names = Preset::names();
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
        for preset in PRESETS {
            let mapping = preset.mapping(Some("Shop"));
            assert!(!mapping.from.unwrap_or_default().contains('{'), "{}", preset.name);
            assert!(mapping.table.is_empty() || mapping.table.starts_with("\"Shop\"."), "{}", preset.name);
            assert!(why_not(preset.name).is_none());
        }
    }
}
