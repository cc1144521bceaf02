-- The functions. They come before the tables that they name, which PL/pgSQL looks up when it runs, and replace those
-- that are there: `evenfold migrate` gives a database of an earlier layout the same bodies.
--
-- Each says where every name is looked up: a function runs under whatever search_path its caller has.

-- FNV-1a, 64 bits, xor-folded to 32: the same number as `evenfold::hash` computes in Rust.
-- The 64-bit state is kept in two halves of 32 bits, because SQL's bigint has no wrapping multiplication:
-- times the FNV prime 2^40 + 435 is (lo * 435) + 2^32 * (hi * 435 + 2^8 * lo), modulo 2^64.
CREATE OR REPLACE FUNCTION evenfold.hash(id text) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
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

CREATE OR REPLACE FUNCTION evenfold.refuse() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = TG_ARGV[0];
END
$$;

-- Whoever appends is given an xid and a position here, and by nothing else: others could lie where readers have been.
-- Run as its owner, so that a writer needs no more than INSERT. A search_path of its own would cost each event as much
-- as the rest of it: so every operator and every function is named with its schema.
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
    -- The order that fences rest on: a transaction owns its xid before it takes a position.
    NEW.xid := pg_catalog.pg_current_xact_id();
    NEW.position := pg_catalog.nextval('evenfold.events_position_seq');
    IF NEW.hash IS NULL THEN
        NEW.hash := evenfold.hash(NEW.aggregate_id);
    END IF;
    RETURN NEW;
END
$$;

REVOKE EXECUTE ON FUNCTION evenfold.place() FROM PUBLIC;
