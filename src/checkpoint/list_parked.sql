-- The parked aggregates, each with the event for which it is parked: the first that could not be applied by itself, or
-- else the first. An aggregate has one event of a version.
WITH parked AS (
    SELECT aggregate_type, aggregate_id, count(*) AS events, min(parked_at) AS since, min(position) AS first,
           coalesce(min(version) FILTER (WHERE reason <> $2), min(version)) AS version
    FROM evenfold.parked_events
    WHERE projection = $1 AND dropped_at IS NULL
    GROUP BY aggregate_type, aggregate_id
    ORDER BY since, first LIMIT $3
)
SELECT a.aggregate_type, a.aggregate_id, a.events, a.version, cause.position, cause.reason
FROM parked a
CROSS JOIN LATERAL (
    SELECT position, reason FROM evenfold.parked_events p
    WHERE p.projection = $1 AND p.dropped_at IS NULL AND p.aggregate_type = a.aggregate_type
      AND p.aggregate_id = a.aggregate_id AND p.version = a.version LIMIT 1
) cause
ORDER BY a.since, a.first
