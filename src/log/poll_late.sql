(SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
     FROM {log}
     WHERE position + 0 <= $1
       AND {late_slice}
       AND NOT pg_visible_in_snapshot(xid, (SELECT $3::text::pg_snapshot))
       AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
       AND ($5::text[] IS NULL OR event_type = ANY ($5))
       AND (xid = ANY ((SELECT $7::text[]::xid8[])::xid8[])
            OR (xid >= (SELECT $8::text::xid8) AND xid < (SELECT $9::text::xid8)))
     ORDER BY position + 0
     LIMIT $6)
    UNION ALL
