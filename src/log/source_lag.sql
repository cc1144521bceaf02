-- Per checkpoint, the events of a log that others write that it has not applied: those above the bound, in one range that
-- is read once for all classes of a modulus, and those at the positions that its fences miss. A fence is a text: its
-- floor, and after a colon what it misses.
WITH looked AS MATERIALIZED (
    SELECT c.*, f.*, greatest(f.floor, least(c.cursor, f.upto_floor)) AS bound
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
        AS c (modulus, residue, seen, upto, cursor, number)
    CROSS JOIN LATERAL (
        SELECT split_part(c.seen, ':', 1)::bigint AS floor,
               ('{' || split_part(c.seen, ':', 2) || '}')::bigint[] AS missing,
               split_part(c.upto, ':', 1)::bigint AS upto_floor,
               coalesce(('{' || split_part(c.upto, ':', 2) || '}')::bigint[], '{}') AS upto_missing
    ) f
), above AS (
    SELECT c.number, count(*) AS events, min(e.recorded_at) FILTER (WHERE isfinite(e.recorded_at)) AS oldest
    FROM (SELECT modulus, min(bound) AS bound FROM looked GROUP BY modulus) m
    CROSS JOIN LATERAL (
        SELECT position, recorded_at, hash % m.modulus AS residue
        FROM {log}
        WHERE position > m.bound
          AND position <= $8
          AND ($6::text[] IS NULL OR aggregate_type = ANY ($6))
          AND ($7::text[] IS NULL OR event_type = ANY ($7))
        OFFSET 0
    ) e
    JOIN looked c ON c.modulus = m.modulus AND c.residue = e.residue
    WHERE e.position > c.bound
    GROUP BY c.number
)
SELECT (coalesce(a.events, 0) + l.events)::bigint,
       coalesce(extract(epoch FROM clock_timestamp() - least(a.oldest, l.oldest)), 0)::float8, c.number
FROM looked c
LEFT JOIN above a USING (number)
CROSS JOIN LATERAL (
    SELECT count(*) AS events, min(recorded_at) FILTER (WHERE isfinite(recorded_at)) AS oldest
    FROM {log}
    WHERE position = ANY (c.missing || c.upto_missing)
      AND position <= least(c.bound, $8)
      AND NOT (position <= c.floor AND position <> ALL (c.missing))
      AND (c.upto IS NULL
           OR NOT (position <= c.cursor AND position <= c.upto_floor AND position <> ALL (c.upto_missing)))
      AND hash % c.modulus = c.residue
      AND ($6::text[] IS NULL OR aggregate_type = ANY ($6))
      AND ($7::text[] IS NULL OR event_type = ANY ($7))
) l
ORDER BY c.number
