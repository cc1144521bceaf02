(SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
     FROM {log}
     WHERE position + 0 <= $1
       AND {late_slice}
       AND NOT pg_visible_in_snapshot(xid, (SELECT $3::text::pg_snapshot))
       AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
       AND ($5::text[] IS NULL OR event_type = ANY ($5))
       AND (xid = ANY (ARRAY(SELECT x FROM unnest($7::text[]::xid8[]) x
                             WHERE pg_visible_in_snapshot(x, pg_current_snapshot())))
            OR (xid >= (SELECT $8::text::xid8)
                AND xid < (SELECT least($9::text::xid8, pg_snapshot_xmax(pg_current_snapshot())))))
     ORDER BY position + 0
     LIMIT $6)
    UNION ALL
