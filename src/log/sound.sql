-- The aggregates of a span: how many of their events are wanted, and whether they are what they should be. All of their
-- events are looked at, wanted or not: versions have no gaps only in all of them together.
-- A scalar subquery, and not EXISTS, which could become a hash of the whole log.
SELECT aggregate_id, hash, wanted,
       NOT too_large AND events = last - first + 1
       AND (first = 1 OR coalesce((
           SELECT true FROM evenfold.events p
           WHERE p.aggregate_type = s.aggregate_type AND p.aggregate_id = s.aggregate_id AND p.version = s.first - 1
             AND ({p_seen} OR (p.position <= $1 AND {p_upto}))
           LIMIT 1
       ), false))
FROM (
    SELECT aggregate_type, aggregate_id, hash, count(*) AS events, min(version) AS first, max(version) AS last,
           count(*) FILTER (WHERE $6::text[] IS NULL OR event_type = ANY ($6)) AS wanted,
           coalesce(bool_or({too_large}), false) AS too_large
    FROM evenfold.events
    WHERE position > $1 AND position <= $7
      AND {slice}
      AND NOT {seen}
      AND {upto}
      AND ($5::text[] IS NULL OR aggregate_type = ANY ($5))
    GROUP BY aggregate_type, aggregate_id, hash
) s
