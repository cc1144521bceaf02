-- What is new to a fence in a log that others write, and what the next fence is made of: as of one snapshot, that of
-- this statement. There is one row at least. Gaps between positions are looked for in all rows, whoever they are for.
SELECT e.*, s.top, s.gaps_from, s.gaps_to, s.seen, s.risen, pg_is_in_recovery()
FROM (
    SELECT coalesce(max(p), $1) AS top,
           coalesce(array_agg(before + 1) FILTER (WHERE p - before > 1), '{}') AS gaps_from,
           coalesce(array_agg(p - 1) FILTER (WHERE p - before > 1), '{}') AS gaps_to,
           ARRAY(SELECT t.{position} FROM {table} t WHERE t.{position} = ANY ($3::bigint[])) AS seen,
           ARRAY(SELECT t.{position} FROM {table} t WHERE t.{position} = ANY ($7::bigint[])) AS risen
    FROM (
        SELECT p, lag(p, 1, $1) OVER (ORDER BY p) AS before
        FROM (SELECT t.{position} AS p FROM {table} t WHERE t.{position} > $1 ORDER BY t.{position} LIMIT 10000) l
    ) w
    OFFSET 0
) s
LEFT JOIN LATERAL (
    (SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
     FROM {log}
     WHERE position = ANY ($3::bigint[])
       AND {late_slice}
       AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
       AND ($5::text[] IS NULL OR event_type = ANY ($5))
     ORDER BY position
     LIMIT $6)
    UNION ALL
    (SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
     FROM {log}
     WHERE position > $1
       AND position <= s.top
       AND {slice}
       AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
       AND ($5::text[] IS NULL OR event_type = ANY ($5))
     ORDER BY position
     LIMIT $6)
) e ON true
ORDER BY e.position
LIMIT $6
