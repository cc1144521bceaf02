-- Per checkpoint, the events that it has not applied: those above the bound below which a fence excludes any but late
-- ones, in one range of the position index, and the late ones, by the transactions that were in progress. The range is
-- read once for all classes of a modulus, however many they are.
-- Of transactions that had not ended as of the snapshot $6 (this statement's own if NULL) nothing is visited.
-- Other writers may have given an event a time that is infinite, which has no age.
WITH ended AS MATERIALIZED (
    SELECT coalesce($6::text::pg_snapshot, pg_current_snapshot()) AS snapshot
), looked AS MATERIALIZED (
    SELECT c.*, greatest(c.floor, least(c.cursor, c.upto_floor)) AS bound
    FROM evenfold.checkpoints c
    WHERE c.missing IS NULL
      AND ($1::text IS NULL OR c.projection = $1)
      AND ($2::bigint IS NULL OR (c.modulus % $2 = 0 AND c.residue % $2 = $3))
), above AS (
    SELECT c.projection, c.modulus, c.residue, count(*) AS events,
           min(e.recorded_at) FILTER (WHERE isfinite(e.recorded_at)) AS oldest
    FROM (SELECT projection, modulus, min(bound) AS bound FROM looked GROUP BY projection, modulus) m
    CROSS JOIN LATERAL (
        SELECT position, xid, recorded_at, hash % m.modulus AS residue
        FROM evenfold.events
        WHERE position > m.bound
          AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
          AND ($5::text[] IS NULL OR event_type = ANY ($5))
        OFFSET 0
    ) e
    JOIN looked c ON c.projection = m.projection AND c.modulus = m.modulus AND c.residue = e.residue
    WHERE e.position > c.bound
      AND NOT pg_visible_in_snapshot(e.xid, c.seen)
      AND (c.upto IS NULL OR NOT (e.position <= c.cursor AND pg_visible_in_snapshot(e.xid, c.upto)))
    GROUP BY c.projection, c.modulus, c.residue
)
SELECT c.projection, (coalesce(a.events, 0) + l.events)::bigint,
       coalesce(extract(epoch FROM clock_timestamp() - least(a.oldest, l.oldest)), 0)::float8, c.modulus, c.residue
FROM looked c
LEFT JOIN above a USING (projection, modulus, residue)
CROSS JOIN LATERAL (
    SELECT count(*) AS events, min(recorded_at) FILTER (WHERE isfinite(recorded_at)) AS oldest
    FROM evenfold.events
    WHERE (xid = ANY (ARRAY(SELECT x FROM pg_snapshot_xip(c.seen) x
                            WHERE pg_visible_in_snapshot(x, (SELECT snapshot FROM ended))))
           OR (xid >= pg_snapshot_xmax(c.seen) AND xid < least(c.next_xid, pg_snapshot_xmax((SELECT snapshot FROM ended))))
           OR xid = ANY (ARRAY(SELECT x FROM pg_snapshot_xip(c.upto) x
                               WHERE pg_visible_in_snapshot(x, (SELECT snapshot FROM ended))))
           OR (xid >= pg_snapshot_xmax(c.upto)
               AND xid < least(c.upto_next_xid, pg_snapshot_xmax((SELECT snapshot FROM ended)))))
      AND position + 0 <= c.bound
      AND hash % c.modulus = c.residue
      AND NOT pg_visible_in_snapshot(xid, c.seen)
      AND (c.upto IS NULL OR NOT (position <= c.cursor AND pg_visible_in_snapshot(xid, c.upto)))
      AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
      AND ($5::text[] IS NULL OR event_type = ANY ($5))
) l
