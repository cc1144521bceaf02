-- The rows of these counters, and the events that are not in them yet, as one snapshot shows both. One row of the result for
-- each event, in the order of the versions; one without an event for a counter that has no further one.
-- OFFSET 0 keeps the planner from joining: while the tables are new it takes reading all of them for cheaper than looking a
-- few rows up, and the plan stays after they have grown.
SELECT k.ord, c.events, c.value, c.version, c.last_position, e.version, e.position, e.payload::text
FROM unnest($2::text[]) WITH ORDINALITY AS k (aggregate_id, ord)
LEFT JOIN LATERAL (
    SELECT events, value, version, last_position FROM evenfold.counters
    WHERE aggregate_type = $1 AND aggregate_id = k.aggregate_id OFFSET 0
) c ON true
LEFT JOIN LATERAL (
    SELECT version, position, {payload} AS payload FROM evenfold.events
    WHERE aggregate_type = $1 AND aggregate_id = k.aggregate_id AND version > coalesce(c.version, 0)
    ORDER BY version OFFSET 0
) e ON true
ORDER BY k.ord, e.version
