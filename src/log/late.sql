-- The events of a window at or below its floor: those of transactions that were in progress at its start.
-- They are few in a long log: "+ 0" keeps the planner from walking the positions, or the hashes, from the beginning to
-- find them, be it for the condition or for the order.
SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
FROM {log}
WHERE position + 0 > $1
  AND {slice}
  AND NOT pg_visible_in_snapshot(xid, (SELECT $3::text::pg_snapshot))
  AND {upto}
  AND ($5::text[] IS NULL OR aggregate_type = ANY ($5))
  AND ($6::text[] IS NULL OR event_type = ANY ($6))
  AND position + 0 <= $8
  AND (xid = ANY ((SELECT $9::text[]::xid8[])::xid8[])
       OR (xid >= (SELECT $10::text::xid8) AND xid < (SELECT $11::text::xid8)))
ORDER BY position + 0
LIMIT $7
