-- Whoever appends is given an xid and a position by a trigger, and by nothing else. So far they were defaults, and a trigger
-- refused others. But a position that a session had drawn earlier passed as its last one (OVERRIDING SYSTEM VALUE with
-- currval): its transaction need not have had an xid when a fence read the sequence, and then its event was never applied.

-- Every trigger of the log fires always: those that do not are passed over by logical replication and by whoever sets
-- session_replication_role, and rows come in with the xids of another cluster.
ALTER TABLE events ENABLE ALWAYS TRIGGER events_append_only;

DROP TRIGGER events_own_numbers ON events;
DROP TRIGGER events_fill_hash ON events;
DROP FUNCTION evenfold_fill_hash();

DO $$
DECLARE
    last CONSTANT bigint := pg_sequence_last_value('events_position_seq');
    granted CONSTANT aclitem[] := (SELECT relacl FROM pg_class WHERE oid = 'events_position_seq'::regclass);
    entry record;
BEGIN
    ALTER TABLE events ALTER COLUMN position DROP IDENTITY, ALTER COLUMN xid DROP DEFAULT;
    CREATE SEQUENCE events_position_seq CACHE 1 OWNED BY events.position;
    IF last IS NOT NULL THEN
        PERFORM setval('events_position_seq', last);
    END IF;
    FOR entry IN SELECT * FROM aclexplode(granted) AS a WHERE a.grantee <> a.grantor LOOP
        EXECUTE format('GRANT %s ON SEQUENCE events_position_seq TO %s', entry.privilege_type,
            CASE entry.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(entry.grantee)) END);
    END LOOP;

    -- With the names of the schema in it: it is run under whatever search_path the writer has, and as its owner, so that a
    -- writer needs no more than INSERT. So no operator and no function may be looked up in the writer's search_path either.
    EXECUTE format($function$
        CREATE FUNCTION evenfold_place() RETURNS trigger
            LANGUAGE plpgsql SECURITY DEFINER
        AS $body$
        BEGIN
            IF NEW.xid IS NOT NULL OR NEW.position IS NOT NULL THEN
                RAISE EXCEPTION USING ERRCODE = 'restrict_violation',
                    MESSAGE = 'the columns xid and position are filled in by the database: leave them out';
            END IF;
            -- Once per session and log: a session can't move to another cluster.
            IF coalesce(pg_catalog.current_setting('evenfold.own_log', true), '')
                OPERATOR(pg_catalog.<>) TG_RELID::pg_catalog.text THEN
                IF NOT EXISTS (
                    SELECT FROM %1$I.log_origin o, pg_catalog.pg_control_system() c
                    WHERE o.system_identifier OPERATOR(pg_catalog.=) c.system_identifier
                ) THEN
                    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
                        MESSAGE = 'the log was restored from another PostgreSQL cluster: run `evenfold repair` before '
                            'anything is appended (after pg_upgrade: `evenfold repair --upgraded`)';
                END IF;
                PERFORM pg_catalog.set_config('evenfold.own_log', TG_RELID::pg_catalog.text, false);
            END IF;
            -- The order that fences rest on: a transaction owns its xid before it takes a position.
            NEW.xid := pg_catalog.pg_current_xact_id();
            NEW.position := pg_catalog.nextval('%1$I.events_position_seq');
            IF NEW.hash IS NULL THEN
                NEW.hash := %1$I.evenfold_hash(NEW.aggregate_id);
            END IF;
            RETURN NEW;
        END
        $body$
    $function$, current_schema());
END
$$;

REVOKE EXECUTE ON FUNCTION evenfold_place() FROM PUBLIC;
-- It is called by that one, and its operators and functions are not named with their schema.
ALTER FUNCTION evenfold_hash(text) SET search_path = pg_catalog, pg_temp;

CREATE TRIGGER events_place BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION evenfold_place();
ALTER TABLE events ENABLE ALWAYS TRIGGER events_place;
