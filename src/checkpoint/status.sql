-- Per checkpoint, how far it has looked and who is at work on it.
SELECT c.modulus, c.residue, greatest(c.floor, c.cursor),
       h.process, h.state, extract(epoch FROM clock_timestamp() - h.beat_at)::float8, h.per_second,
       (SELECT count(DISTINCT (p.aggregate_type, p.aggregate_id)) FROM parked_events p
        WHERE p.projection = c.projection AND p.dropped_at IS NULL AND p.hash % c.modulus = c.residue)
FROM checkpoints c
LEFT JOIN heartbeats h ON h.worker = c.owner
WHERE c.projection = $1
ORDER BY c.modulus, c.residue
