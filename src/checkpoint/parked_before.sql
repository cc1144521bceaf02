-- Of each event, the first one of its aggregate that waits and is not after it, and whether it was dropped itself, if it
-- is parked at all: in the order in which they are asked for.
SELECT cause.position, cause.reason, own.dropped
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
    AS k (position, aggregate_type, aggregate_id, version, number)
LEFT JOIN LATERAL (
    SELECT p.position, p.reason FROM evenfold.parked_events p
    WHERE p.projection = $1 AND p.dropped_at IS NULL AND p.aggregate_type = k.aggregate_type
      AND p.aggregate_id = k.aggregate_id AND p.version <= k.version
    ORDER BY p.version LIMIT 1
) cause ON true
LEFT JOIN LATERAL (
    SELECT p.dropped_at IS NOT NULL AS dropped FROM evenfold.parked_events p
    WHERE p.projection = $1 AND p.position = k.position OFFSET 0
) own ON true
ORDER BY k.number
