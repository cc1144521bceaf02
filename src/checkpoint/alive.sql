-- The process of a worker that is alive: its heartbeat, or the checkpoint that it wrote last, is less than $5 seconds old.
-- Of the workers of a total, or of one of its partitions; whoever wrote a checkpoint last comes first.
SELECT h.process
FROM evenfold.heartbeats h
LEFT JOIN LATERAL (
    SELECT max(c.moved_at) AS moved_at FROM evenfold.checkpoints c WHERE c.projection = h.projection AND c.owner = h.worker
) c ON true
WHERE h.projection = $1 AND h.total_partitions = $2
  AND ($3::bigint IS NULL OR h.partition_key = $3)
  AND h.worker IS DISTINCT FROM $4
  AND greatest(h.beat_at, c.moved_at) > clock_timestamp() - $5 * interval '1 second'
ORDER BY c.moved_at DESC NULLS LAST, h.beat_at DESC
LIMIT 1
