-- Per checkpoint, the events of a log that others write that it has not applied: those above the bound, and those at the
-- positions that its fences miss. A fence is a text: its floor, and after a colon what it misses.
SELECT coalesce(sum(e.events), 0)::bigint,
       coalesce(extract(epoch FROM clock_timestamp() - min(e.oldest)), 0)::float8, c.number
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
    AS c (modulus, residue, seen, upto, cursor, number)
CROSS JOIN LATERAL (
    SELECT split_part(c.seen, ':', 1)::bigint AS floor,
           ('{' || split_part(c.seen, ':', 2) || '}')::bigint[] AS missing,
           split_part(c.upto, ':', 1)::bigint AS upto_floor,
           coalesce(('{' || split_part(c.upto, ':', 2) || '}')::bigint[], '{}') AS upto_missing
) f
CROSS JOIN LATERAL (SELECT greatest(f.floor, least(c.cursor, f.upto_floor)) AS bound) b
CROSS JOIN LATERAL (
    SELECT count(*) AS events, min(recorded_at) FILTER (WHERE isfinite(recorded_at)) AS oldest
    FROM {log}
    WHERE position > b.bound
      AND position <= $8
      AND hash % c.modulus = c.residue
      AND ($6::text[] IS NULL OR aggregate_type = ANY ($6))
      AND ($7::text[] IS NULL OR event_type = ANY ($7))
    UNION ALL
    SELECT count(*), min(recorded_at) FILTER (WHERE isfinite(recorded_at))
    FROM {log}
    WHERE position = ANY (f.missing || f.upto_missing)
      AND position <= least(b.bound, $8)
      AND NOT (position <= f.floor AND position <> ALL (f.missing))
      AND (c.upto IS NULL
           OR NOT (position <= c.cursor AND position <= f.upto_floor AND position <> ALL (f.upto_missing)))
      AND hash % c.modulus = c.residue
      AND ($6::text[] IS NULL OR aggregate_type = ANY ($6))
      AND ($7::text[] IS NULL OR event_type = ANY ($7))
) e
GROUP BY c.number
ORDER BY c.number
