-- What is new to a fence, and what the next fence is made of: as of one snapshot, that of this statement, so nothing asks
-- whether an event is visible in it. There is one row at least. Late events are looked for of transactions that have
-- ended: those of one that is still open, however many, would be visited by each look.
SELECT e.*,
       pg_current_snapshot()::text,
       age('3'::xid),
       pg_is_in_recovery(),
       s.last_position
FROM (SELECT coalesce(pg_sequence_last_value('evenfold.events_position_seq'::regclass), 0) AS last_position OFFSET 0) s
LEFT JOIN LATERAL (
    {late}
    (SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
     FROM {log}
     WHERE position > $1
       AND {slice}
       AND NOT pg_visible_in_snapshot(xid, (SELECT $3::text::pg_snapshot))
       AND ($4::text[] IS NULL OR aggregate_type = ANY ($4))
       AND ($5::text[] IS NULL OR event_type = ANY ($5))
     ORDER BY position
     LIMIT $6)
) e ON true
ORDER BY e.position
LIMIT $6
