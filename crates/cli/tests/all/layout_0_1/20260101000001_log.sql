-- The event log. Everything evenfold promises rests on the order of the first two columns and on the two
-- UNIQUE constraints; docs/design.md, section 2, has the argument.

-- FNV-1a, 64 bits, xor-folded to 32: the same number as `evenfold::hash` computes in Rust.
-- The 64-bit state is kept in two halves of 32 bits, because SQL's bigint has no wrapping multiplication:
-- times the FNV prime 2^40 + 435 is (lo * 435) + 2^32 * (hi * 435 + 2^8 * lo), modulo 2^64.
CREATE FUNCTION evenfold_hash(id text) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    bytes CONSTANT bytea := convert_to(id, 'UTF8');
    hi bigint := 3421674724;
    lo bigint := 2216829733;
BEGIN
    FOR i IN 0 .. length(bytes) - 1 LOOP
        lo := lo # get_byte(bytes, i);
        hi := (hi * 435 + ((lo * 435) >> 32) + (lo << 8)) & 4294967295;
        lo := (lo * 435) & 4294967295;
    END LOOP;
    RETURN hi # lo;
END
$$;

CREATE TABLE events (
    -- Defaults are evaluated in the order of the columns: a transaction owns its xid before it takes a position.
    -- A fence relies on it, so nothing may come before these two, and the sequence must not cache.
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
    position       bigint      NOT NULL GENERATED ALWAYS AS IDENTITY (CACHE 1),
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

-- The late rows of a window: events of transactions that were in progress when the window's start was taken.
CREATE INDEX events_xid_idx ON events (xid);

CREATE FUNCTION evenfold_fill_hash() RETURNS trigger
    LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    NEW.hash := evenfold_hash(NEW.aggregate_id);
    RETURN NEW;
END
$$;

-- Writers other than evenfold leave the hash out. Those that give it pay nothing: WHEN is evaluated without a call.
CREATE TRIGGER events_fill_hash BEFORE INSERT ON events
    FOR EACH ROW WHEN (NEW.hash IS NULL) EXECUTE FUNCTION evenfold_fill_hash();

CREATE FUNCTION evenfold_refuse() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = TG_ARGV[0];
END
$$;

-- An xid or a position of the writer's choice (GENERATED ALWAYS can be overridden) could lie where readers have been.
CREATE TRIGGER events_own_numbers BEFORE INSERT ON events
    FOR EACH ROW WHEN (NEW.xid IS DISTINCT FROM pg_current_xact_id() OR NEW.position <> currval('events_position_seq'))
    EXECUTE FUNCTION evenfold_refuse('the columns xid and position are filled in by the database: leave them out');

CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT
    EXECUTE FUNCTION evenfold_refuse('the log is append-only: correct an event by appending another one');

-- Snapshots and xids mean something only in the cluster that made them. A log that was restored elsewhere carries
-- the identifier of the cluster that it comes from, and is refused until `evenfold repair` has renumbered it.
CREATE TABLE log_origin (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    system_identifier bigint  NOT NULL
);

INSERT INTO log_origin (system_identifier) SELECT system_identifier FROM pg_control_system();
