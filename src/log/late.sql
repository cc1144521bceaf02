-- The events of a window at or below its floor: those of transactions that were in progress at its start.
-- They are few in a long log: "+ 0" keeps the planner from walking the positions from the beginning to find them, be it
-- for the condition or for the order.
SELECT position, version, hash, aggregate_type, aggregate_id, event_type, payload,
       CASE WHEN $8 THEN event_id END,
       CASE WHEN $8 THEN (extract(epoch FROM recorded_at) * 1000000)::bigint END,
       CASE WHEN $8 THEN metadata END
FROM events
WHERE position + 0 > $1
  AND hash % $2 = ANY ($3)
  AND NOT pg_visible_in_snapshot(xid, (SELECT $4::text::pg_snapshot))
  AND pg_visible_in_snapshot(xid, (SELECT $5::text::pg_snapshot))
  AND ($6::text[] IS NULL OR aggregate_type = ANY ($6))
  AND ($7::text[] IS NULL OR event_type = ANY ($7))
  AND position + 0 <= $10
  AND (xid = ANY ((SELECT $11::text[]::xid8[])::xid8[])
       OR (xid >= (SELECT $12::text::xid8) AND xid < (SELECT $13::text::xid8)))
ORDER BY position + 0
LIMIT $9
