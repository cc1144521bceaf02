-- Appends one event, or nothing where its expected version does not hold.
INSERT INTO evenfold.events (version, hash, event_id, aggregate_type, aggregate_id, event_type, payload, metadata, recorded_at)
SELECT head.version + 1, $3, $4, $1, $2, $5, $6::text::json, $7::text::json,
       coalesce($10::timestamptz, clock_timestamp())
FROM (
    SELECT coalesce((
        SELECT version FROM evenfold.events
        WHERE aggregate_type = $1 AND aggregate_id = $2
        ORDER BY version DESC LIMIT 1
    ), 0) AS version OFFSET 0
) head
WHERE $8::bigint IS NULL OR $8 = head.version
RETURNING version, position, CASE WHEN $9 THEN pg_notify('evenfold_events', '') END
