-- Erasing what the events of an aggregate contain, for good; the log is append-only in every other way.

-- What was erased, by whom, and when. An event that is erased has the payload {"evenfold_erased":true}, and no metadata;
-- everything else of it stays as it was.
CREATE TABLE evenfold.erasures (
    erasure        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aggregate_type text        NOT NULL COLLATE "C",
    aggregate_id   text        NOT NULL COLLATE "C",
    -- The last event of the aggregate when this began: what was appended later stays as it is.
    version        bigint      NOT NULL,
    -- Up to which version it has come, and how many events it has erased by then.
    reached        bigint      NOT NULL DEFAULT 0,
    events         bigint      NOT NULL DEFAULT 0,
    begun_by       text        NOT NULL,
    begun_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at    timestamptz,
    -- The projections that had applied some of the events before: their read models may have what they took from the
    -- payloads, until they are rebuilt.
    read_models    text[]      NOT NULL DEFAULT '{}'
);

CREATE INDEX erasures_aggregate_idx ON evenfold.erasures (aggregate_type, aggregate_id);

-- As before, but that `evenfold.erase` may update the log. A setting that anybody can make gives nobody a right: to
-- update the table is for its owner alone, who is kept from doing so by mistake.
CREATE OR REPLACE FUNCTION evenfold.refuse() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE'
        AND pg_catalog.current_setting('evenfold_log.erasing', true)
            OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id()::pg_catalog.text THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = TG_ARGV[0];
END
$$;

-- Erases the next events of an aggregate, at most so many and some 16 MiB, in the caller's transaction: to be called until
-- `finished`, each time in a transaction of its own. What one call has not finished the next one goes on with, whoever
-- makes it. `version`: up to which the events are erased when it is finished; null where there is nothing to erase.
--
-- Run as its owner: whoever may execute it needs no right to change the log.
CREATE OR REPLACE FUNCTION evenfold.erase(
    aggregate_type text, aggregate_id text, most integer DEFAULT 5000,
    OUT version bigint, OUT events bigint, OUT finished boolean
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s'
    -- While the tables have no statistics, reading all of them looks cheap.
    SET enable_seqscan = off
AS $$
DECLARE
    erased CONSTANT text := '{"evenfold_erased":true}';
    one evenfold.erasures;
    last bigint;
    places tid[];
    positions bigint[];
    hashes bigint[];
    locked bigint[];
    before bigint[];
    readers text[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state', MESSAGE =
            'erasing needs a transaction that is READ COMMITTED: in any other it does not see which workers are at work';
    END IF;
    -- One at a time. No projection begins meanwhile, whose checkpoint would not be seen below: see
    -- `src/checkpoint/topology.rs`.
    PERFORM pg_advisory_xact_lock(hashtext('evenfold erase'), 'evenfold.events'::regclass::oid::int);
    SELECT e.* INTO one FROM evenfold.erasures e
    WHERE e.aggregate_type = erase.aggregate_type AND e.aggregate_id = erase.aggregate_id AND e.finished_at IS NULL
    ORDER BY e.erasure LIMIT 1;
    IF NOT FOUND THEN
        SELECT max(e.version) INTO version FROM evenfold.events e
        WHERE e.aggregate_type = erase.aggregate_type AND e.aggregate_id = erase.aggregate_id
          AND (pg_column_size(e.payload) > 64 OR e.payload::text <> erased OR e.metadata IS NOT NULL);
        IF version IS NULL THEN
            events := 0;
            finished := true;
            RETURN;
        END IF;
        INSERT INTO evenfold.erasures AS e (aggregate_type, aggregate_id, version, begun_by)
        VALUES (erase.aggregate_type, erase.aggregate_id, erase.version, session_user) RETURNING e.* INTO one;
    END IF;
    version := one.version;
    SELECT array_agg(b.ctid), array_agg(b.position), array_agg(DISTINCT b.hash), max(b.version)
    INTO places, positions, hashes, last
    FROM (
        SELECT e.ctid, e.position, e.hash, e.version,
               sum(pg_column_size(e.payload)) OVER (ORDER BY e.version) - pg_column_size(e.payload) AS bytes
        FROM (
            SELECT e.ctid, e.position, e.hash, e.version, e.payload, e.metadata FROM evenfold.events e
            WHERE e.aggregate_type = one.aggregate_type AND e.aggregate_id = one.aggregate_id
              AND e.version > one.reached AND e.version <= one.version
              AND (pg_column_size(e.payload) > 64 OR e.payload::text <> erased OR e.metadata IS NOT NULL)
            ORDER BY e.version LIMIT greatest(most, 1)
        ) e
    ) b WHERE b.bytes < 16777216;
    events := coalesce(cardinality(places), 0);
    IF events > 0 THEN
        -- The events' checkpoints, of every projection of this log: whoever is in the midst of a batch is waited for, and
        -- whoever has read and not applied yet finds another revision, and reads again. So what an event contained is
        -- in a batch as a whole or not at all, and in none that is committed after this.
        -- A change of partitions that is waited for has put other rows in the place of those that it took away, which
        -- only the next statement sees. In the order of the keys, as all who lock several rows do.
        LOOP
            SELECT array_agg(c.revision) INTO locked FROM (
                SELECT c.revision FROM evenfold.checkpoints c
                WHERE c.missing IS NULL AND EXISTS (SELECT FROM unnest(hashes) h WHERE h % c.modulus = c.residue)
                ORDER BY c.projection, c.modulus, c.residue FOR UPDATE
            ) c;
            EXIT WHEN locked IS NOT DISTINCT FROM before;
            before := locked;
        END LOOP;
        SELECT array_agg(DISTINCT c.projection ORDER BY c.projection) INTO readers
        FROM evenfold.checkpoints c
        WHERE c.missing IS NULL AND EXISTS (
            SELECT FROM evenfold.events e
            WHERE e.ctid = ANY (places) AND e.hash % c.modulus = c.residue
              AND (pg_visible_in_snapshot(e.xid, c.seen)
                   OR c.upto IS NOT NULL AND pg_visible_in_snapshot(e.xid, c.upto) AND e.position <= c.cursor)
              AND NOT EXISTS (SELECT FROM evenfold.parked_events p
                              WHERE p.projection = c.projection AND p.position = e.position)
        );
        PERFORM set_config('evenfold_log.erasing', pg_current_xact_id()::text, true);
        -- By where they are: nobody else moves a row of the log, and joined to an array all of it could be read.
        UPDATE evenfold.events e SET payload = erased::json, metadata = NULL WHERE e.ctid = ANY (places);
        PERFORM set_config('evenfold_log.erasing', '', true);
        -- What a database says of an event that can't be applied may have its contents in it.
        UPDATE evenfold.parked_events p SET reason = 'it was erased, and with it the reason why it was parked'
        WHERE p.projection IN (SELECT c.projection FROM evenfold.checkpoints c WHERE c.missing IS NULL)
          AND p.position = ANY (positions) AND p.reason <> 'another event of this aggregate is parked';
        UPDATE evenfold.checkpoints c SET revision = nextval('evenfold.checkpoint_revisions')
        WHERE c.missing IS NULL AND EXISTS (SELECT FROM unnest(hashes) h WHERE h % c.modulus = c.residue);
    END IF;
    finished := last IS NULL OR NOT EXISTS (
        SELECT FROM evenfold.events e
        WHERE e.aggregate_type = one.aggregate_type AND e.aggregate_id = one.aggregate_id
          AND e.version > last AND e.version <= one.version
    );
    UPDATE evenfold.erasures e
    SET reached = CASE WHEN finished THEN one.version ELSE last END, events = e.events + erase.events,
        finished_at = CASE WHEN finished THEN clock_timestamp() END,
        read_models = ARRAY(SELECT DISTINCT unnest(e.read_models || coalesce(readers, '{}')) ORDER BY 1)
    WHERE e.erasure = one.erasure;
END
$$;

REVOKE EXECUTE ON FUNCTION evenfold.erase(text, text, integer) FROM PUBLIC;
