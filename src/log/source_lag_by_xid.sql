-- Per checkpoint, the events that it has not applied of a log with a column for the transaction: those that its fence does
-- not show, less those of its open window up to the cursor. Among the latter may be some that wait for a position above
-- the cursor: the event at that one is counted, so that none is counted for no checkpoint that has any left.
-- Of transactions that are still open nothing is visible, and nothing is visited.
SELECT count(e.found), coalesce(extract(epoch FROM clock_timestamp() - min(e.oldest)), 0)::float8, c.number
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
    AS c (modulus, residue, seen, upto, cursor, number)
CROSS JOIN LATERAL (SELECT pg_snapshot_xmax(c.seen::pg_snapshot) AS xmax,
                           pg_snapshot_xmax(pg_current_snapshot()) AS ended,
                           ARRAY(SELECT x FROM pg_snapshot_xip(c.seen::pg_snapshot) x
                                 WHERE pg_visible_in_snapshot(x, pg_current_snapshot())) AS listed OFFSET 0) s
LEFT JOIN LATERAL (
    SELECT true AS found, CASE WHEN isfinite(recorded_at) THEN recorded_at END AS oldest
    FROM (
        SELECT * FROM {log} WHERE xid >= s.xmax AND xid < s.ended
        UNION ALL
        SELECT * FROM {log} WHERE xid = ANY (s.listed)
    ) unseen
    WHERE (c.upto IS NULL OR NOT (position <= c.cursor AND pg_visible_in_snapshot(xid, c.upto::pg_snapshot)))
      AND position <= $8
      AND hash % c.modulus = c.residue
      AND ($6::text[] IS NULL OR aggregate_type = ANY ($6))
      AND ($7::text[] IS NULL OR event_type = ANY ($7))
) e ON true
GROUP BY c.number
ORDER BY c.number
