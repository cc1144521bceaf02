-- The event log. Everything evenfold promises rests on the order in which `evenfold.place()` takes the transaction id
-- and the position, and on the two UNIQUE constraints; docs/design.md, section 2, has the argument.

CREATE TABLE evenfold.events (
    -- Both are filled in by a trigger.
    xid            xid8        NOT NULL,
    position       bigint      NOT NULL,
    version        bigint      NOT NULL,
    hash           bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    -- "C": compared byte by byte, so that Rust and every locale agree on the order of the keys.
    aggregate_type text        NOT NULL COLLATE "C",
    aggregate_id   text        NOT NULL COLLATE "C",
    event_type     text        NOT NULL COLLATE "C",
    payload        json        NOT NULL,
    metadata       json,

    CONSTRAINT events_pkey PRIMARY KEY (position),
    -- Makes the writer of version v + 1 see version v committed before it takes a position.
    CONSTRAINT events_version_key UNIQUE (aggregate_type, aggregate_id, version),
    CONSTRAINT events_event_id_key UNIQUE (event_id),
    CONSTRAINT events_version_check CHECK (version > 0),
    CONSTRAINT events_hash_check CHECK (hash BETWEEN 0 AND 4294967295),
    -- An index row holds at most 2,704 bytes; longer names would fail there with a worse message.
    CONSTRAINT events_length_check CHECK (
        octet_length(aggregate_type) <= 255 AND octet_length(aggregate_id) <= 1024 AND octet_length(event_type) <= 255
    )
);

-- A fence relies on it that the sequence does not cache.
CREATE SEQUENCE evenfold.events_position_seq CACHE 1 OWNED BY evenfold.events.position;

-- The late rows of a window: events of transactions that were in progress when the window's start was taken.
CREATE INDEX events_xid_idx ON evenfold.events (xid);

-- A payload and its metadata have 1 MiB each at most, whoever writes them: what is larger takes the memory of everybody
-- who reads it.
--
-- The size that is at hand says it for a value of up to 4,096 bytes, also for one that comes compressed from another
-- table: nothing is compressed to less than a 255th. What is larger is measured as a text. `evenfold repair` gives
-- every row the transaction id 3, and must be able to rewrite rows that are too large already: a log of an earlier
-- layout may have some, so the rows that are there are not validated. No writer can give that id.
ALTER TABLE evenfold.events ADD CONSTRAINT events_payload_check CHECK (
    (pg_column_size(payload) <= 4096 OR xid = '3' OR octet_length(payload::text) <= 1048576)
    AND (metadata IS NULL OR pg_column_size(metadata) <= 4096 OR xid = '3' OR octet_length(metadata::text) <= 1048576)
) NOT VALID;

CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evenfold.events
    FOR EACH STATEMENT
    EXECUTE FUNCTION evenfold.refuse('the log is append-only: correct an event by appending another one');

CREATE TRIGGER events_place BEFORE INSERT ON evenfold.events FOR EACH ROW EXECUTE FUNCTION evenfold.place();

-- Every trigger of the log fires always: those that do not are passed over by logical replication and by whoever sets
-- session_replication_role, and rows come in with the xids of another cluster.
ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_append_only;
ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_place;

-- Snapshots and xids mean something only in the cluster that made them. A log that was restored elsewhere carries
-- the identifier of the cluster that it comes from, and is refused until `evenfold repair` has renumbered it.
CREATE TABLE evenfold.log_origin (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    system_identifier bigint  NOT NULL
);

INSERT INTO evenfold.log_origin (system_identifier) SELECT system_identifier FROM pg_control_system();
