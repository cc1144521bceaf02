-- The events of a window at or below its floor, in a log that others write: those of the positions that were missing at
-- its start.
SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
FROM {log}
WHERE position > $1
  AND position = ANY ($8::bigint[])
  AND {slice}
  AND $3::text IS NOT NULL
  AND {upto}
  AND ($5::text[] IS NULL OR aggregate_type = ANY ($5))
  AND ($6::text[] IS NULL OR event_type = ANY ($6))
ORDER BY position
LIMIT $7
