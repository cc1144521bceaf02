-- The events of a window above its floor: one range scan of the position index or, where there is an index for the
-- modulus (`evenfold index`), of that one.
-- Where late events are many, they are read by it as well, up to a position.
-- The snapshots are uncorrelated subqueries so that their texts are parsed once, not for each row.
SELECT position, version, hash, aggregate_type, aggregate_id, event_type, {payload}{more}
FROM {log}
WHERE position > $1{until}
  AND {slice}
  AND {not_seen}
  AND {upto}
  AND ($5::text[] IS NULL OR aggregate_type = ANY ($5))
  AND ($6::text[] IS NULL OR event_type = ANY ($6))
ORDER BY position
LIMIT $7
