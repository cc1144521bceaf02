-- The counters, folded from the log by the database alone, beside the read model: for exactly the events that the
-- checkpoints say are applied, all as of this statement's snapshot. So it is right while workers run, however far behind
-- they are. A counter of which every event is parked has no row, or one without events.
WITH folded AS (
    SELECT e.aggregate_type, e.aggregate_id, count(*) AS events,
           sum(coalesce((e.payload #>> $1)::bigint, 1)) AS value
    FROM checkpoints c
    JOIN events e ON e.hash % c.modulus = c.residue
    WHERE c.projection = $2
      AND (pg_visible_in_snapshot(e.xid, c.seen)
           OR (c.upto IS NOT NULL AND pg_visible_in_snapshot(e.xid, c.upto) AND e.position <= c.cursor))
      AND NOT EXISTS (SELECT FROM parked_events p WHERE p.projection = $2 AND p.position = e.position)
    GROUP BY e.aggregate_type, e.aggregate_id
)
SELECT aggregate_type, aggregate_id, f.events, f.value::text, c.events, c.value::text
FROM folded f
FULL JOIN (SELECT * FROM counters WHERE events > 0) c USING (aggregate_type, aggregate_id)
WHERE (f.events, f.value) IS DISTINCT FROM (c.events, c.value::numeric)
ORDER BY aggregate_type, aggregate_id
LIMIT $3
