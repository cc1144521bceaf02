-- The parked events of some aggregates, with their contents: in the order of the index, and each event looked up.
SELECT e.position, e.version, e.hash, e.aggregate_type, e.aggregate_id, e.event_type, {payload}{envelope}
FROM evenfold.parked_events p
CROSS JOIN LATERAL (SELECT * FROM evenfold.events WHERE events.position = p.position OFFSET 0) e
WHERE p.projection = $1 AND p.dropped_at IS NULL
  AND (p.aggregate_type, p.aggregate_id, p.version) > ($2, $3, $4)
  AND (p.aggregate_type, p.aggregate_id) <= ($5, $6)
ORDER BY p.aggregate_type, p.aggregate_id, p.version
LIMIT $7
