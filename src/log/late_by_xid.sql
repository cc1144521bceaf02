-- The events of a window at or below its floor, in a log with a column for the transaction: any that was in progress at
-- its start, or began later and has ended since, may have written them. "+ 0" as in late.sql.
SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
FROM {log}
WHERE position + 0 > $1
  AND {slice}
  AND $3::text IS NOT NULL
  AND {upto}
  AND ($5::text[] IS NULL OR aggregate_type = ANY ($5))
  AND ($6::text[] IS NULL OR event_type = ANY ($6))
  AND position + 0 <= $8
  AND (xid = ANY ($9::text[]::xid8[]) OR (xid >= $10::text::xid8 AND xid < $11::text::xid8))
ORDER BY position + 0
LIMIT $7
