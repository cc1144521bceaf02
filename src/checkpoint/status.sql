-- Per checkpoint, how far it has looked, and the worker whose business it is: one of the present total whose partition has
-- the class, or the one that wrote it last. One that is alive comes first, and of these the one that wrote last. What is
-- parked is read once, for all of them.
WITH parked AS (
    SELECT c.modulus, c.residue, count(DISTINCT (p.aggregate_type, p.aggregate_id)) AS aggregates
    FROM (SELECT DISTINCT aggregate_type, aggregate_id, hash FROM evenfold.parked_events
          WHERE projection = $1 AND dropped_at IS NULL) p
    CROSS JOIN (SELECT DISTINCT modulus FROM evenfold.checkpoints WHERE projection = $1) m
    JOIN evenfold.checkpoints c ON c.projection = $1 AND c.modulus = m.modulus AND c.residue = p.hash % m.modulus
    GROUP BY c.modulus, c.residue
)
SELECT c.modulus, c.residue, greatest(c.floor, c.cursor),
       h.process, h.state, extract(epoch FROM clock_timestamp() - h.beat_at)::float8, h.per_second,
       coalesce(p.aggregates, 0),
       extract(epoch FROM clock_timestamp() - c.moved_at)::float8, coalesce(h.worker = c.owner, false)
FROM evenfold.checkpoints c
LEFT JOIN parked p USING (modulus, residue)
LEFT JOIN LATERAL (
    SELECT h.*, (h.worker = c.owner) IS TRUE AS wrote
    FROM evenfold.heartbeats h
    WHERE h.projection = c.projection
      AND (h.worker = c.owner
           OR (h.total_partitions = $2 AND c.modulus % h.total_partitions = 0
               AND c.residue % h.total_partitions = h.partition_key))
    ORDER BY greatest(h.beat_at, CASE WHEN h.worker = c.owner THEN c.moved_at END)
                 > clock_timestamp() - $3 * interval '1 second' DESC,
             wrote DESC, h.beat_at DESC
    LIMIT 1
) h ON true
WHERE c.projection = $1
ORDER BY c.modulus, c.residue
