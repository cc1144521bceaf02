-- Per checkpoint, how far it has looked, and the worker whose business it is: one of the present total whose partition has
-- the class, or the one that wrote it last. One that is alive comes first, and of these the one that wrote last.
SELECT c.modulus, c.residue, greatest(c.floor, c.cursor),
       h.process, h.state, extract(epoch FROM clock_timestamp() - h.beat_at)::float8, h.per_second,
       (SELECT count(DISTINCT (p.aggregate_type, p.aggregate_id)) FROM parked_events p
        WHERE p.projection = c.projection AND p.dropped_at IS NULL AND p.hash % c.modulus = c.residue),
       extract(epoch FROM clock_timestamp() - c.moved_at)::float8, coalesce(h.worker = c.owner, false)
FROM checkpoints c
LEFT JOIN LATERAL (
    SELECT h.*, (h.worker = c.owner) IS TRUE AS wrote
    FROM heartbeats h
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
