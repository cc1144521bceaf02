-- Per checkpoint what lag.sql counts, and who is at work on it.
SELECT c.modulus, c.residue, greatest(c.floor, c.cursor), coalesce(sum(e.events), 0)::bigint,
       coalesce(extract(epoch FROM clock_timestamp() - min(e.oldest)), 0)::float8,
       h.process, h.state, extract(epoch FROM clock_timestamp() - h.beat_at)::float8, h.per_second,
       (SELECT count(DISTINCT (p.aggregate_type, p.aggregate_id)) FROM parked_events p
        WHERE p.projection = c.projection AND p.dropped_at IS NULL AND p.hash % c.modulus = c.residue)
FROM checkpoints c
CROSS JOIN LATERAL (SELECT greatest(c.floor, least(c.cursor, c.upto_floor)) AS bound) b
CROSS JOIN LATERAL (
    SELECT count(*) AS events, min(recorded_at) AS oldest
    FROM events
    WHERE position > b.bound
      AND hash % c.modulus = c.residue
      AND NOT pg_visible_in_snapshot(xid, c.seen)
      AND (c.upto IS NULL OR NOT (position <= c.cursor AND pg_visible_in_snapshot(xid, c.upto)))
    UNION ALL
    SELECT count(*), min(recorded_at)
    FROM events
    WHERE (xid = ANY (ARRAY(SELECT pg_snapshot_xip(c.seen)))
           OR (xid >= pg_snapshot_xmax(c.seen) AND xid < c.next_xid)
           OR xid = ANY (ARRAY(SELECT pg_snapshot_xip(c.upto)))
           OR (xid >= pg_snapshot_xmax(c.upto) AND xid < c.upto_next_xid))
      AND position + 0 <= b.bound
      AND hash % c.modulus = c.residue
      AND NOT pg_visible_in_snapshot(xid, c.seen)
      AND (c.upto IS NULL OR NOT (position <= c.cursor AND pg_visible_in_snapshot(xid, c.upto)))
) e
LEFT JOIN heartbeats h ON h.worker = c.owner
WHERE c.projection = $1
GROUP BY c.projection, c.modulus, c.residue, h.worker
ORDER BY c.modulus, c.residue
