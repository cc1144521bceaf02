-- Appends all of the given events or, where an expected version does not hold, none, and says which.
-- They come sorted by aggregate, each with its number within its aggregate, and are inserted in that order: two callers
-- who write the same aggregates wait for each other instead of deadlocking.
-- The planner does not know how many they are and takes them for few: there is no join that could be quadratic.
WITH placed AS MATERIALIZED (
    SELECT i.*, h.version + i.nth AS version, coalesce(i.expected <> h.version + i.nth - 1, false) AS conflict
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                $9::bigint[], $11::timestamptz[])
        WITH ORDINALITY AS i (aggregate_type, aggregate_id, hash, event_id, event_type, payload, metadata, expected,
                              nth, recorded_at, ord)
    CROSS JOIN LATERAL (
        SELECT coalesce((
            SELECT e.version FROM evenfold.events e
            WHERE e.aggregate_type = i.aggregate_type AND e.aggregate_id = i.aggregate_id
            ORDER BY e.version DESC LIMIT 1
        ), 0) AS version OFFSET 0
    ) h
),
written AS (
    INSERT INTO evenfold.events (version, hash, event_id, aggregate_type, aggregate_id, event_type, payload, metadata,
                                 recorded_at)
    SELECT version, hash, event_id, aggregate_type, aggregate_id, event_type, payload::json, metadata::json,
           coalesce(recorded_at, clock_timestamp())
    FROM placed
    WHERE NOT EXISTS (SELECT FROM placed WHERE conflict)
    ORDER BY ord
    RETURNING position, version
)
-- What was written, in the order of the events, because positions are handed out in it; or what is in conflict.
-- The notification is made once, with the first row that was written.
SELECT version, NULL AS conflict, position AS place, (SELECT pg_notify('evenfold_events', '')::text WHERE $10) AS notified
FROM written
UNION ALL
SELECT version, ord - 1, NULL, NULL FROM placed WHERE conflict
ORDER BY place
