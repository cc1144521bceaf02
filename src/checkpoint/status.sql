-- Per checkpoint, how far it has looked, and the worker whose business it is: one of the present total whose partition has
-- the class, or the one that wrote it last. One that is alive comes first, and of these the one that wrote last. What is
-- parked is read once, for all of them, and so are the heartbeats: they are joined, since a projection may have thousands
-- of both.
WITH parked AS (
    SELECT c.modulus, c.residue, count(DISTINCT (p.aggregate_type, p.aggregate_id)) AS aggregates
    FROM (SELECT DISTINCT aggregate_type, aggregate_id, hash FROM evenfold.parked_events
          WHERE projection = $1 AND dropped_at IS NULL) p
    CROSS JOIN (SELECT DISTINCT modulus FROM evenfold.checkpoints WHERE projection = $1) m
    JOIN evenfold.checkpoints c ON c.projection = $1 AND c.modulus = m.modulus AND c.residue = p.hash % m.modulus
    GROUP BY c.modulus, c.residue
), concerned AS (
    SELECT c.modulus, c.residue, c.moved_at, true AS wrote, h.*
    FROM evenfold.checkpoints c JOIN evenfold.heartbeats h ON h.worker = c.owner
    WHERE c.projection = $1 AND h.projection = $1
    UNION ALL
    SELECT c.modulus, c.residue, c.moved_at, false, h.*
    FROM evenfold.checkpoints c JOIN evenfold.heartbeats h ON h.partition_key = c.residue % $2
    WHERE c.projection = $1 AND c.modulus % $2 = 0
      AND h.projection = $1 AND h.total_partitions = $2 AND (h.worker = c.owner) IS NOT TRUE
), chosen AS (
    SELECT DISTINCT ON (modulus, residue) *
    FROM concerned
    ORDER BY modulus, residue,
             greatest(beat_at, CASE WHEN wrote THEN moved_at END) > clock_timestamp() - $3 * interval '1 second' DESC,
             wrote DESC, beat_at DESC
)
SELECT c.modulus, c.residue, greatest(c.floor, c.cursor),
       h.process, h.state, extract(epoch FROM clock_timestamp() - h.beat_at)::float8, h.per_second,
       coalesce(p.aggregates, 0),
       extract(epoch FROM clock_timestamp() - c.moved_at)::float8, coalesce(h.wrote, false),
       h.applied, h.coordination_ms / 1000.0::float8, h.compute_ms / 1000.0::float8,
       coalesce(cardinality(c.missing), 0)::bigint
FROM evenfold.checkpoints c
LEFT JOIN parked p USING (modulus, residue)
LEFT JOIN chosen h USING (modulus, residue)
WHERE c.projection = $1
ORDER BY c.modulus, c.residue
