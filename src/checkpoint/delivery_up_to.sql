-- Per checkpoint, whether it has passed every event that is visible in a snapshot, and the first such event that is parked.
-- $3 is the last of their positions. What a checkpoint has not passed is above the bound below which a fence excludes any
-- but late ones, or it is late: see lag.sql. Of transactions that had not ended nothing is visited. The first one that is
-- found is enough.
SELECT d.definition, c.modulus, c.residue,
       EXISTS (
           SELECT FROM evenfold.events
           WHERE position > c.bound AND position <= $3
             AND hash % c.modulus = c.residue
             AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
             AND NOT pg_visible_in_snapshot(xid, c.seen)
             AND (c.upto IS NULL OR NOT (position <= c.cursor AND pg_visible_in_snapshot(xid, c.upto)))
             AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
             AND ($5::text[] IS NULL OR event_type = ANY ($5))
       ) OR EXISTS (
           SELECT FROM evenfold.events
           WHERE (xid = ANY (ARRAY(SELECT x FROM pg_snapshot_xip(c.seen) x
                                   WHERE pg_visible_in_snapshot(x, $2::text::pg_snapshot)))
                  OR (xid >= pg_snapshot_xmax(c.seen)
                      AND xid < least(c.next_xid, pg_snapshot_xmax($2::text::pg_snapshot)))
                  OR xid = ANY (ARRAY(SELECT x FROM pg_snapshot_xip(c.upto) x
                                      WHERE pg_visible_in_snapshot(x, $2::text::pg_snapshot)))
                  OR (xid >= pg_snapshot_xmax(c.upto)
                      AND xid < least(c.upto_next_xid, pg_snapshot_xmax($2::text::pg_snapshot))))
             AND position + 0 <= least(c.bound, $3)
             AND hash % c.modulus = c.residue
             AND pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
             AND NOT pg_visible_in_snapshot(xid, c.seen)
             AND (c.upto IS NULL OR NOT (position <= c.cursor AND pg_visible_in_snapshot(xid, c.upto)))
             AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
             AND ($5::text[] IS NULL OR event_type = ANY ($5))
       ) AS pending,
       p.position, p.aggregate_type, p.aggregate_id, p.reason
FROM (SELECT (SELECT definition FROM evenfold.projections WHERE name = $1) AS definition) d
LEFT JOIN (
    SELECT *, greatest(floor, least(cursor, upto_floor)) AS bound FROM evenfold.checkpoints WHERE projection = $1
) c ON true
LEFT JOIN LATERAL (
    SELECT p.position, p.aggregate_type, p.aggregate_id, p.reason FROM evenfold.parked_events p
    CROSS JOIN LATERAL (SELECT xid FROM evenfold.events WHERE events.position = p.position OFFSET 0) e
    WHERE p.projection = $1 AND p.dropped_at IS NULL AND p.position <= $3
      AND pg_visible_in_snapshot(e.xid, $2::text::pg_snapshot)
    ORDER BY p.position LIMIT 1
) p ON true
ORDER BY c.modulus, c.residue
