-- Event ids that the database gives are in the order of time: those of the moment go to one end of their index. Random ones
-- go to a page each, of which a large index has more than memory, and each first change of a page after a checkpoint has all
-- of it in the log that PostgreSQL writes ahead.
--
-- UUIDs of version 7 (RFC 9562): 48 bits of milliseconds, and what a random one of version 4 has after its version.
CREATE OR REPLACE FUNCTION evenfold.new_event_id() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    SELECT pg_catalog.concat(
        pg_catalog.lpad(pg_catalog.to_hex(
            (extract(epoch FROM pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8), 12, '0'),
        '7', pg_catalog.right(pg_catalog.replace(pg_catalog.gen_random_uuid()::pg_catalog.text, '-', ''), 19)
    )::pg_catalog.uuid
$$;

ALTER TABLE evenfold.events ALTER COLUMN event_id SET DEFAULT evenfold.new_event_id();

-- The two functions that append, as they are but for this.
DO $$
DECLARE
    made regprocedure;
    before text;
BEGIN
    FOREACH made IN ARRAY ARRAY[
        'evenfold.append(text, text, text, json, bigint, uuid, json, boolean, timestamptz)', 'evenfold.append(json, boolean)'
    ]::regprocedure[] LOOP
        before := pg_get_functiondef(made);
        IF position('gen_random_uuid()' IN before) = 0 THEN
            RAISE EXCEPTION 'the function % is not the one that was made: make it again by the migrations', made;
        END IF;
        EXECUTE replace(before, 'gen_random_uuid()', 'evenfold.new_event_id()');
    END LOOP;
END
$$;
