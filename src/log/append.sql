-- Appends all of the given events or, where an expected version does not hold, none, and says which.
-- Sorted by aggregate, so that two callers who write the same aggregates wait for each other instead of deadlocking.
WITH input AS MATERIALIZED (
    SELECT i.*, row_number() OVER (PARTITION BY i.aggregate_type, i.aggregate_id ORDER BY i.ord) AS nth
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bigint[])
        WITH ORDINALITY AS i (aggregate_type, aggregate_id, hash, event_id, event_type, payload, metadata, expected, ord)
),
heads AS MATERIALIZED (
    SELECT a.aggregate_type, a.aggregate_id, coalesce((
        SELECT e.version FROM events e
        WHERE e.aggregate_type = a.aggregate_type AND e.aggregate_id = a.aggregate_id
        ORDER BY e.version DESC LIMIT 1
    ), 0) AS version
    FROM (SELECT DISTINCT aggregate_type, aggregate_id FROM input) a
),
placed AS MATERIALIZED (
    SELECT i.*, h.version + i.nth AS version, coalesce(i.expected <> h.version + i.nth - 1, false) AS conflict
    FROM input i JOIN heads h USING (aggregate_type, aggregate_id)
),
written AS (
    INSERT INTO events (version, hash, event_id, aggregate_type, aggregate_id, event_type, payload, metadata)
    SELECT version, hash, event_id, aggregate_type, aggregate_id, event_type, payload::json, metadata::json
    FROM placed
    WHERE NOT EXISTS (SELECT FROM placed WHERE conflict)
    ORDER BY aggregate_type COLLATE "C", aggregate_id COLLATE "C", version
    RETURNING position, event_id
)
SELECT p.version, p.conflict, w.position
FROM placed p LEFT JOIN written w USING (event_id)
ORDER BY p.ord
