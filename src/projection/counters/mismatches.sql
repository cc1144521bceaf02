-- The log, folded by the database alone, beside the read model. A counter of which every event is parked has no row.
WITH folded AS (
    SELECT aggregate_type, aggregate_id, count(*) AS events,
           sum(coalesce((payload #>> $1)::bigint, 1))::bigint AS value
    FROM events e
    WHERE NOT EXISTS (SELECT FROM parked_events p WHERE p.projection = $2 AND p.position = e.position)
    GROUP BY aggregate_type, aggregate_id
)
SELECT aggregate_type, aggregate_id, f.events, f.value, c.events, c.value
FROM folded f
FULL JOIN (SELECT * FROM counters WHERE events > 0) c USING (aggregate_type, aggregate_id)
WHERE (f.events, f.value) IS DISTINCT FROM (c.events, c.value)
ORDER BY aggregate_type, aggregate_id
LIMIT $3
