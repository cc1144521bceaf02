-- Appending from any language, with the rules of `log::append`: all of the events or none, in the caller's transaction.
--
-- SQLSTATE  what was wrong
-- XE001     an aggregate does not have the expected version: read it again, and decide again
-- XE002     all of the events are in the log already, under these event ids: an earlier attempt got through
-- XE003     an event id is taken by another event, of the log or of the same call
-- 40001     other writers were first, again and again; or, at once, above READ COMMITTED, where they can't be seen
-- 22023     an event is not one, whatever the log holds
-- 54000     more than 10,000 events

-- Fails unless the text can be kept, and read again.
CREATE OR REPLACE FUNCTION evenfold.check_json(field text, value json) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    content CONSTANT text := value::text;
    depth bigint;
BEGIN
    IF octet_length(content) > 1048576 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE =
            format('%s may have 1048576 bytes, and this one has %s', field, octet_length(content));
    END IF;
    -- Looks at what every escape in it stands for, which the type json has not: \u0000, and half of a surrogate pair.
    PERFORM value #>> ARRAY['x'];
    -- Only where there are as many brackets as there may be levels. A bracket in a string is none.
    IF length(content) - length(translate(content, '[{', '')) > 500 THEN
        SELECT max(level) INTO depth FROM (
            SELECT sum(CASE WHEN m[1] IN ('[', '{') THEN 1 WHEN m[1] IN (']', '}') THEN -1 ELSE 0 END)
                       OVER (ORDER BY ord) AS level
            FROM regexp_matches(content, '"(?:[^"\\]|\\.)*"|[][{}]', 'g') WITH ORDINALITY AS r (m, ord)
        ) l;
        IF depth > 500 THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('%s is nested more than 500 levels deep', field);
        END IF;
    END IF;
EXCEPTION
    WHEN untranslatable_character OR invalid_text_representation OR statement_too_complex THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('%s can''t be read: %s', field, SQLERRM);
END
$$;

-- Fails where all of these events are in the log already, or some of their ids are taken.
CREATE OR REPLACE FUNCTION evenfold.check_event_ids(aggregate_types text[], aggregate_ids text[], event_ids uuid[])
    RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found bigint;
    same boolean;
    first jsonb;
    appended jsonb;
BEGIN
    -- OFFSET 0: looked up one by one, never joined to the whole log, whatever the statistics are.
    SELECT count(*), bool_and(e.aggregate_type = i.aggregate_type AND e.aggregate_id = i.aggregate_id),
           (array_agg(jsonb_build_object('index', i.ord - 1, 'event_id', i.event_id, 'position', e."position")
                      ORDER BY i.ord))[1],
           jsonb_agg(jsonb_build_object('version', e.version, 'position', e."position") ORDER BY i.ord)
    INTO found, same, first, appended
    FROM unnest(aggregate_types, aggregate_ids, event_ids) WITH ORDINALITY
        AS i (aggregate_type, aggregate_id, event_id, ord)
    CROSS JOIN LATERAL (
        SELECT x.aggregate_type, x.aggregate_id, x.version, x."position" FROM evenfold.events x
        WHERE x.event_id = i.event_id OFFSET 0
    ) e;
    IF found = cardinality(event_ids) AND same THEN
        RAISE EXCEPTION USING ERRCODE = 'XE002', DETAIL = appended::text, MESSAGE = format(
            'the events are in the log already: event id %s has position %s', first ->> 'event_id',
            first ->> 'position');
    ELSIF found > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'XE003', DETAIL = first::text, MESSAGE =
            format('event id %s is taken by the event at position %s', first ->> 'event_id', first ->> 'position');
    END IF;
END
$$;

-- The function behind those for one event and for many: an array for each column, and a row for each event, in their
-- order.
CREATE OR REPLACE FUNCTION evenfold.append_arrays(
    aggregate_types text[], aggregate_ids text[], event_types text[], payloads json[], metadata json[],
    expected_versions bigint[], event_ids uuid[], recorded_times timestamptz[], notify boolean
) RETURNS TABLE (version bigint, "position" bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    versions bigint[];
    positions bigint[];
    conflict jsonb;
    violated text;
BEGIN
    FOR attempt IN 1 .. 1000 LOOP
        BEGIN
            -- Sorted by aggregate, byte by byte as everybody who appends does: two callers who write the same
            -- aggregates wait for each other instead of deadlocking. There is no join that could be quadratic: see
            -- `src/log/append.sql`.
            WITH numbered AS MATERIALIZED (
                SELECT i.*, row_number() OVER (PARTITION BY i.aggregate_type, i.aggregate_id ORDER BY i.ord) AS nth
                FROM unnest(aggregate_types, aggregate_ids, event_types, payloads, metadata, expected_versions,
                            event_ids, recorded_times) WITH ORDINALITY
                    AS i (aggregate_type, aggregate_id, event_type, payload, metadata, expected, event_id,
                          recorded_at, ord)
            ),
            placed AS MATERIALIZED (
                SELECT n.*, h.version + n.nth AS version,
                       coalesce(n.expected <> h.version + n.nth - 1, false) AS conflict
                FROM numbered n
                CROSS JOIN LATERAL (
                    SELECT coalesce((
                        SELECT e.version FROM evenfold.events e
                        WHERE e.aggregate_type = n.aggregate_type AND e.aggregate_id = n.aggregate_id
                        ORDER BY e.version DESC LIMIT 1
                    ), 0) AS version OFFSET 0
                ) h
            ),
            written AS (
                INSERT INTO evenfold.events
                    (version, event_id, aggregate_type, aggregate_id, event_type, payload, metadata, recorded_at)
                SELECT p.version, p.event_id, p.aggregate_type, p.aggregate_id, p.event_type, p.payload, p.metadata,
                       coalesce(p.recorded_at, clock_timestamp())
                FROM placed p
                WHERE NOT EXISTS (SELECT FROM placed WHERE placed.conflict)
                ORDER BY p.aggregate_type COLLATE "C", p.aggregate_id COLLATE "C", p.ord
                RETURNING event_id, version, "position"
            ),
            ordered AS (
                SELECT array_agg(w.version ORDER BY n.ord) AS versions,
                       array_agg(w."position" ORDER BY n.ord) AS positions
                FROM written w JOIN numbered n USING (event_id)
            )
            SELECT o.versions, o.positions, (
                SELECT jsonb_build_object('index', p.ord - 1, 'aggregate_type', p.aggregate_type,
                           'aggregate_id', p.aggregate_id, 'expected', p.expected, 'actual', p.version - 1)
                FROM placed p WHERE p.conflict ORDER BY p.ord LIMIT 1
            ) INTO versions, positions, conflict FROM ordered o;
        EXCEPTION WHEN unique_violation THEN
            GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
            IF violated = 'events_event_id_key' THEN
                PERFORM evenfold.check_event_ids(aggregate_types, aggregate_ids, event_ids);
                RAISE;
            ELSIF violated <> 'events_version_key' THEN
                RAISE;
            ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
                RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE =
                    'another writer has appended to the same aggregates since this transaction began: run it again';
            END IF;
            CONTINUE;
        END;
        IF conflict IS NOT NULL THEN
            PERFORM evenfold.check_event_ids(aggregate_types, aggregate_ids, event_ids);
            RAISE EXCEPTION USING ERRCODE = 'XE001', DETAIL = conflict::text, MESSAGE =
                format('%s/%s was expected to have version %s and has %s', conflict ->> 'aggregate_type',
                    conflict ->> 'aggregate_id', conflict ->> 'expected', conflict ->> 'actual');
        END IF;
        IF notify THEN
            PERFORM pg_notify('evenfold_events', '');
        END IF;
        RETURN QUERY SELECT * FROM unnest(versions, positions);
        RETURN;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE =
        'other writers appended to the same aggregates 1000 times in a row: append fewer aggregates at once';
END
$$;

-- Fails unless these can be events, whatever the log holds.
CREATE OR REPLACE FUNCTION evenfold.check_events(
    aggregate_types text[], aggregate_ids text[], event_types text[], payloads json[], metadata json[],
    expected_versions bigint[], event_ids uuid[]
) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken record;
    problem text;
BEGIN
    IF cardinality(event_ids) > 10000 THEN
        RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
            MESSAGE = format('%s events at once are too many: append at most 10000', cardinality(event_ids));
    END IF;
    SELECT format('%s must be 1 to %s bytes long, and this one %s', n.field, n.most,
               CASE coalesce(octet_length(n.value), 0) WHEN 0 THEN 'is empty' ELSE 'has ' || octet_length(n.value) END)
    INTO problem
    FROM unnest(aggregate_types, aggregate_ids, event_types) WITH ORDINALITY
        AS i (aggregate_type, aggregate_id, event_type, ord)
    CROSS JOIN LATERAL (VALUES ('aggregate_type', i.aggregate_type, 255), ('aggregate_id', i.aggregate_id, 1024),
                               ('event_type', i.event_type, 255)) AS n (field, value, most)
    WHERE coalesce(octet_length(n.value), 0) NOT BETWEEN 1 AND n.most
    ORDER BY i.ord LIMIT 1;
    IF problem IS NULL AND EXISTS (SELECT FROM unnest(payloads) AS p WHERE p IS NULL) THEN
        problem := 'an event has no payload: give it one, null in JSON for one';
    END IF;
    IF problem IS NULL THEN
        SELECT format('the expected version must be 0 or more, and %s is not', e) INTO problem
        FROM unnest(expected_versions) AS e WHERE e < 0 LIMIT 1;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem;
    END IF;
    PERFORM evenfold.check_json('payload', p) FROM unnest(payloads) AS p;
    PERFORM evenfold.check_json('metadata', m) FROM unnest(metadata) AS m WHERE m IS NOT NULL;
    SELECT i.event_id, max(i.ord) - 1 AS index INTO taken
    FROM unnest(event_ids) WITH ORDINALITY AS i (event_id, ord)
    GROUP BY i.event_id HAVING count(*) > 1 ORDER BY 2 LIMIT 1;
    IF taken.event_id IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'XE003', DETAIL = to_jsonb(taken)::text,
            MESSAGE = format('event id %s is taken twice in this call', taken.event_id);
    END IF;
END
$$;

-- Appends one event, and gives its version and its position.
--
-- `expected_version`: that of the aggregate just before the event, 0 for one that must not exist yet; NULL for any.
-- `event_id`: appending it twice is an error of its own, so that a retry is safe; NULL for a random one.
-- `recorded_at`: when it happened, for events that are imported; NULL for now.
-- `notify`: wakes the workers when the transaction commits. Without it they find the event at their poll interval.
-- PostgreSQL does not let a transaction that notifies be prepared for a two-phase commit.
CREATE OR REPLACE FUNCTION evenfold.append(
    aggregate_type text, aggregate_id text, event_type text, payload json, expected_version bigint DEFAULT NULL,
    event_id uuid DEFAULT NULL, metadata json DEFAULT NULL, notify boolean DEFAULT true,
    recorded_at timestamptz DEFAULT NULL,
    OUT version bigint, OUT "position" bigint
)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    id CONSTANT uuid := coalesce(event_id, gen_random_uuid());
BEGIN
    PERFORM evenfold.check_events(ARRAY[aggregate_type], ARRAY[aggregate_id], ARRAY[event_type], ARRAY[payload],
        ARRAY[metadata], ARRAY[expected_version], ARRAY[id]);
    SELECT a.version, a."position" INTO STRICT version, "position"
    FROM evenfold.append_arrays(ARRAY[aggregate_type], ARRAY[aggregate_id], ARRAY[event_type], ARRAY[payload],
        ARRAY[metadata], ARRAY[expected_version], ARRAY[id], ARRAY[recorded_at], notify) AS a;
END
$$;

-- Appends a JSON array of events, and gives the version and the position of each, in their order. Each is an object as
-- `evenfold append` takes it: aggregate_type, aggregate_id, event_type, payload and, if wanted, expected_version,
-- event_id, metadata and recorded_at (with its offset from UTC). Earlier events of the same call count for the expected version.
CREATE OR REPLACE FUNCTION evenfold.append(events json, notify boolean DEFAULT true)
    RETURNS TABLE (version bigint, "position" bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    c record;
    problem text;
BEGIN
    IF json_typeof(events) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the events must be a JSON array of objects';
    END IF;
    SELECT CASE WHEN json_typeof(e) <> 'object'
                THEN format('an event must be a JSON object, and this one is: %s', left(e::text, 100))
                ELSE coalesce(
                    (SELECT format('an event has the unknown field %s', k) FROM json_object_keys(e) AS k
                     WHERE k NOT IN ('aggregate_type', 'aggregate_id', 'event_type', 'payload', 'metadata',
                                     'expected_version', 'event_id', 'recorded_at') LIMIT 1),
                    -- Without an offset it would depend on who appends, and be another time in another session.
                    CASE WHEN e ->> 'recorded_at' !~ '(Z|[+-][0-9]{2}(:?[0-9]{2})?)$'
                         THEN format('recorded_at must have its offset from UTC, such as 2026-11-28T09:30:00Z, and '
                                     'this one has not: %s', left(e ->> 'recorded_at', 100)) END) END
    INTO problem
    FROM json_array_elements(events) AS e ORDER BY 1 NULLS LAST LIMIT 1;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem;
    END IF;
    -- A name that is no text is none, and is refused as such.
    SELECT array_agg(CASE json_typeof(e -> 'aggregate_type') WHEN 'string' THEN e ->> 'aggregate_type' END
                     ORDER BY ord) AS types,
           array_agg(CASE json_typeof(e -> 'aggregate_id') WHEN 'string' THEN e ->> 'aggregate_id' END
                     ORDER BY ord) AS ids,
           array_agg(CASE json_typeof(e -> 'event_type') WHEN 'string' THEN e ->> 'event_type' END
                     ORDER BY ord) AS event_types,
           array_agg(e -> 'payload' ORDER BY ord) AS payloads,
           array_agg(CASE WHEN json_typeof(e -> 'metadata') <> 'null' THEN e -> 'metadata' END
                     ORDER BY ord) AS metadata,
           array_agg((e ->> 'expected_version')::bigint ORDER BY ord) AS expected,
           array_agg(coalesce((e ->> 'event_id')::uuid, gen_random_uuid()) ORDER BY ord) AS event_ids,
           array_agg((e ->> 'recorded_at')::timestamptz ORDER BY ord) AS recorded_times
    INTO c
    FROM json_array_elements(events) WITH ORDINALITY AS x (e, ord);
    IF c.ids IS NULL THEN
        RETURN;
    END IF;
    PERFORM evenfold.check_events(c.types, c.ids, c.event_types, c.payloads, c.metadata, c.expected, c.event_ids);
    RETURN QUERY SELECT a.version, a."position"
        FROM evenfold.append_arrays(c.types, c.ids, c.event_types, c.payloads, c.metadata, c.expected, c.event_ids,
            c.recorded_times, notify) AS a;
END
$$;
