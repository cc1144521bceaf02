-- Per checkpoint, the events that it has not applied: those above the bound below which a fence excludes any but late
-- ones, in one range of the position index, and the late ones, by the transactions that were in progress.
-- Other writers may have given an event a time that is infinite, which has no age.
SELECT c.projection, coalesce(sum(e.events), 0)::bigint,
       coalesce(extract(epoch FROM clock_timestamp() - min(e.oldest)), 0)::float8, c.modulus, c.residue
FROM evenfold.checkpoints c
CROSS JOIN LATERAL (SELECT greatest(c.floor, least(c.cursor, c.upto_floor)) AS bound) b
CROSS JOIN LATERAL (
    SELECT count(*) AS events, min(recorded_at) FILTER (WHERE isfinite(recorded_at)) AS oldest
    FROM evenfold.events
    WHERE position > b.bound
      AND hash % c.modulus = c.residue
      AND NOT pg_visible_in_snapshot(xid, c.seen)
      AND (c.upto IS NULL OR NOT (position <= c.cursor AND pg_visible_in_snapshot(xid, c.upto)))
      AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
      AND ($5::text[] IS NULL OR event_type = ANY ($5))
    UNION ALL
    SELECT count(*), min(recorded_at) FILTER (WHERE isfinite(recorded_at))
    FROM evenfold.events
    WHERE (xid = ANY (ARRAY(SELECT pg_snapshot_xip(c.seen)))
           OR (xid >= pg_snapshot_xmax(c.seen) AND xid < c.next_xid)
           OR xid = ANY (ARRAY(SELECT pg_snapshot_xip(c.upto)))
           OR (xid >= pg_snapshot_xmax(c.upto) AND xid < c.upto_next_xid))
      AND position + 0 <= b.bound
      AND hash % c.modulus = c.residue
      AND NOT pg_visible_in_snapshot(xid, c.seen)
      AND (c.upto IS NULL OR NOT (position <= c.cursor AND pg_visible_in_snapshot(xid, c.upto)))
      AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
      AND ($5::text[] IS NULL OR event_type = ANY ($5))
) e
WHERE c.missing IS NULL
  AND ($1::text IS NULL OR c.projection = $1)
  AND ($2::bigint IS NULL OR (c.modulus % $2 = 0 AND c.residue % $2 = $3))
GROUP BY c.projection, c.modulus, c.residue
