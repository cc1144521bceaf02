-- The events of a window that have a lower position than an earlier version of their aggregate in it, each with the
-- highest position of those: from a position on. A window's events are fixed, and so is this.
SELECT position, key
FROM (
    SELECT position, version,
           max(position) OVER (PARTITION BY hash, aggregate_type, aggregate_id ORDER BY version) AS key
    FROM {log}
    WHERE {slice}
      AND (xid = ANY ($3::text[]::xid8[]) OR xid >= $8::text::xid8)
      AND {upto}
      AND ($5::text[] IS NULL OR aggregate_type = ANY ($5))
      AND ($6::text[] IS NULL OR event_type = ANY ($6))
) e
WHERE key > position AND key > $1
ORDER BY key, version
LIMIT $7
