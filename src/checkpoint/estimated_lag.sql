-- The lag of each class by the positions that are left, where they are more than $4: its share of them, and the age of the
-- first event among them, whosever it is. No row where they are few enough to be counted.
SELECT c.projection, ((s.last_position - c.bound) / c.modulus)::bigint,
       coalesce((SELECT CASE WHEN isfinite(recorded_at) THEN extract(epoch FROM clock_timestamp() - recorded_at) END
                 FROM evenfold.events WHERE position > c.bound ORDER BY position LIMIT 1), 0)::float8,
       c.modulus, c.residue
FROM (
    SELECT projection, modulus, residue, greatest(floor, least(cursor, upto_floor)) AS bound,
           min(greatest(floor, least(cursor, upto_floor))) OVER () AS lowest
    FROM evenfold.checkpoints
    WHERE projection = $1 AND modulus % $2 = 0 AND residue % $2 = $3
) c
CROSS JOIN (
    SELECT coalesce(pg_sequence_last_value('evenfold.events_position_seq'::regclass), 0) AS last_position OFFSET 0
) s
WHERE s.last_position - c.lowest > $4
