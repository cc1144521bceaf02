-- What is new to a fence in a log with a column for the transaction, and what the next fence is made of: as of one
-- snapshot, that of this statement. There is one row at least. What a fence shows is at or below its floor.
SELECT e.*, s.top, pg_current_snapshot()::text, pg_is_in_recovery()
FROM (SELECT coalesce((SELECT t.{position} FROM {table} t ORDER BY t.{position} DESC LIMIT 1), 0) AS top OFFSET 0) s
LEFT JOIN LATERAL (
    (SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
     FROM {log}
     WHERE position + 0 <= $1
       AND (xid = ANY (ARRAY(SELECT x FROM unnest($3::text[]::xid8[]) x
                             WHERE pg_visible_in_snapshot(x, pg_current_snapshot())))
            OR (xid >= $7::text::xid8 AND xid < (SELECT pg_snapshot_xmax(pg_current_snapshot()))))
       AND {late_slice}
       AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
       AND ($5::text[] IS NULL OR event_type = ANY ($5))
     LIMIT $6)
    UNION ALL
    (SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
     FROM {log}
     WHERE position > $1
       AND {slice}
       AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
       AND ($5::text[] IS NULL OR event_type = ANY ($5))
     ORDER BY position
     LIMIT $6)
) e ON true
LIMIT $6
