-- As before, but that it also refuses what no event may be. These were CHECK constraints, which PostgreSQL parses and plans
-- anew for each statement: half of what it did for a single event. The errors are as theirs were, by code and by name.
--
-- The size that is at hand says it for a value of up to 4,096 bytes, also for one that comes compressed from another
-- table: nothing is compressed to less than a 255th. What is larger is measured as a text. What is NULL and may not be
-- is refused by its column.
CREATE OR REPLACE FUNCTION evenfold.place() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    IF NEW.xid IS NOT NULL OR NEW.position IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'restrict_violation',
            MESSAGE = 'the columns xid and position are filled in by the database: leave them out';
    END IF;
    -- Once per session and log: a session can't move to another cluster.
    IF coalesce(pg_catalog.current_setting('evenfold_log.own', true), '')
        OPERATOR(pg_catalog.<>) TG_RELID::pg_catalog.text THEN
        IF NOT EXISTS (
            SELECT FROM evenfold.log_origin o, pg_catalog.pg_control_system() c
            WHERE o.system_identifier OPERATOR(pg_catalog.=) c.system_identifier
        ) THEN
            RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = 'the log was restored from another PostgreSQL cluster: run `evenfold repair` before '
                    'anything is appended (after pg_upgrade: `evenfold repair --upgraded`)';
        END IF;
        PERFORM pg_catalog.set_config('evenfold_log.own', TG_RELID::pg_catalog.text, false);
    END IF;
    IF NEW.hash IS NULL THEN
        NEW.hash := evenfold.hash(NEW.aggregate_id);
    END IF;
    IF NEW.version OPERATOR(pg_catalog.<=) 0
        OR NEW.hash OPERATOR(pg_catalog.<) 0 OR NEW.hash OPERATOR(pg_catalog.>) 4294967295
        OR pg_catalog.octet_length(NEW.aggregate_type) OPERATOR(pg_catalog.>) 255
        OR pg_catalog.octet_length(NEW.aggregate_id) OPERATOR(pg_catalog.>) 1024
        OR pg_catalog.octet_length(NEW.event_type) OPERATOR(pg_catalog.>) 255
        OR pg_catalog.pg_column_size(NEW.payload) OPERATOR(pg_catalog.>) 4096
        OR pg_catalog.pg_column_size(NEW.metadata) OPERATOR(pg_catalog.>) 4096 THEN
        IF NEW.version OPERATOR(pg_catalog.<=) 0 THEN
            RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'events_version_check',
                MESSAGE = 'the version of an event must be 1 or more';
        ELSIF NEW.hash OPERATOR(pg_catalog.<) 0 OR NEW.hash OPERATOR(pg_catalog.>) 4294967295 THEN
            RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'events_hash_check',
                MESSAGE = 'the hash of an event must be 0 to 4294967295: leave it out';
        ELSIF pg_catalog.octet_length(NEW.aggregate_type) OPERATOR(pg_catalog.>) 255
            OR pg_catalog.octet_length(NEW.aggregate_id) OPERATOR(pg_catalog.>) 1024
            OR pg_catalog.octet_length(NEW.event_type) OPERATOR(pg_catalog.>) 255 THEN
            RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'events_length_check', MESSAGE =
                'aggregate_type and event_type may have 255 bytes each, and aggregate_id 1024: choose shorter ones';
        ELSIF pg_catalog.octet_length(NEW.payload::pg_catalog.text) OPERATOR(pg_catalog.>) 1048576
            OR pg_catalog.octet_length(NEW.metadata::pg_catalog.text) OPERATOR(pg_catalog.>) 1048576 THEN
            RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'events_payload_check',
                MESSAGE = 'payload and metadata may have 1048576 bytes each: keep what is larger elsewhere';
        END IF;
    END IF;
    -- The order that fences rest on: a transaction owns its xid before it takes a position.
    NEW.xid := pg_catalog.pg_current_xact_id();
    NEW.position := pg_catalog.nextval('evenfold.events_position_seq');
    RETURN NEW;
END
$$;

REVOKE EXECUTE ON FUNCTION evenfold.place() FROM PUBLIC;

ALTER TABLE evenfold.events
    DROP CONSTRAINT IF EXISTS events_version_check,
    DROP CONSTRAINT IF EXISTS events_hash_check,
    DROP CONSTRAINT IF EXISTS events_length_check,
    DROP CONSTRAINT IF EXISTS events_payload_check;
