-- The positions between two that nobody can see, as ranges: as of one snapshot, or a later event of an aggregate could
-- be in a fence that its earlier one is not in.
SELECT before + 1, p - 1
FROM (
    SELECT t.{position} AS p, lag(t.{position}, 1, $1) OVER (ORDER BY t.{position}) AS before
    FROM {table} t
    WHERE t.{position} > $1 AND t.{position} <= $2
) w
WHERE p - before > 1
ORDER BY p
LIMIT $3
