-- The counters, folded from the log by the database alone, next to the read model: for exactly the events that the
-- checkpoints say are applied, all as of this statement's snapshot. So it is right while workers run, however far behind
-- they are. One pass over the log.
-- The number of an event is null where it is left to a statement of its own: those positions are in the last column.
WITH moduli AS (
    SELECT DISTINCT modulus FROM evenfold.checkpoints WHERE projection = $2
),
folded AS (
    SELECT aggregate_type, aggregate_id, count(*) AS events, coalesce(sum(amount), 0) AS value,
           -- The last event is that of the highest version: other writers need not have written them in order.
           max(ARRAY[version, position]) AS last,
           array_agg(position) FILTER (WHERE amount IS NULL) AS unread
    FROM (
        SELECT e.aggregate_type, e.aggregate_id, e.version, e.position, {amount} AS amount
        FROM moduli m
        CROSS JOIN evenfold.events e
        JOIN evenfold.checkpoints c ON c.projection = $2 AND c.modulus = m.modulus AND c.residue = e.hash % m.modulus
        WHERE (pg_visible_in_snapshot(e.xid, c.seen)
               OR (c.upto IS NOT NULL AND pg_visible_in_snapshot(e.xid, c.upto) AND e.position <= c.cursor))
          -- Nothing is looked up where nothing is parked.
          AND ((SELECT NOT EXISTS (SELECT FROM evenfold.parked_events WHERE projection = $2))
               OR NOT EXISTS (SELECT FROM evenfold.parked_events p WHERE p.projection = $2 AND p.position = e.position))
        -- Keeps what comes from being sorted with its payload, and an amount from being computed twice.
        OFFSET 0
    ) e
    GROUP BY aggregate_type, aggregate_id
),
-- What is on record of aggregates: whether events wait, and the last one that was dropped, which only moves the version.
parked AS (
    SELECT aggregate_type, aggregate_id, bool_or(dropped_at IS NULL) AS waiting,
           coalesce(max(version) FILTER (WHERE dropped_at IS NOT NULL), 0) AS dropped
    FROM evenfold.parked_events WHERE projection = $2 GROUP BY aggregate_type, aggregate_id
),
expected AS (
    SELECT aggregate_type, aggregate_id, coalesce(events, 0) AS events, coalesce(value, 0) AS value,
           coalesce(last[1], 0) AS applied, greatest(last[1], dropped, 0) AS version, coalesce(last[2], 0) AS last_position,
           coalesce(waiting, false) AS waiting, unread
    FROM folded FULL JOIN parked USING (aggregate_type, aggregate_id)
),
-- Aggregates of which the payloads that were applied are erased: what their values were made of is not in the log.
erased AS (
    SELECT DISTINCT aggregate_type, aggregate_id FROM evenfold.erasures WHERE $2 = ANY (read_models)
),
differing AS MATERIALIZED (
    SELECT aggregate_type, aggregate_id,
           e.events, e.value::text AS value, e.version, e.last_position,
           c.events AS c_events, c.value::text AS c_value, c.version AS c_version, c.last_position AS c_last_position,
           (e.events, e.last_position) IS NOT DISTINCT FROM (c.events, c.last_position)
               AND c.version BETWEEN CASE WHEN e.waiting THEN e.applied ELSE e.version END AND e.version AS but_for_value,
           e.unread
    FROM expected e FULL JOIN evenfold.counters c USING (aggregate_type, aggregate_id)
    LEFT JOIN erased x USING (aggregate_type, aggregate_id)
    WHERE e.events IS NULL
       OR e.unread IS NOT NULL AND x.aggregate_id IS NULL
       -- An aggregate of which nothing could be applied has no row, or one without events.
       OR (c.events IS NULL AND NOT (e.events = 0 AND e.waiting))
       OR (e.events, CASE WHEN x.aggregate_id IS NULL THEN e.value ELSE coalesce(c.value, 0) END, e.last_position)
           IS DISTINCT FROM (coalesce(c.events, 0), coalesce(c.value, 0)::numeric, coalesce(c.last_position, 0))
       -- Where others wait before it, an event that was dropped has moved the version or not.
       OR coalesce(c.version, 0)
           NOT BETWEEN CASE WHEN e.waiting THEN e.applied ELSE e.version END AND e.version
)
(SELECT * FROM differing WHERE unread IS NULL ORDER BY aggregate_type, aggregate_id LIMIT $3)
UNION ALL
(SELECT * FROM differing WHERE unread IS NOT NULL ORDER BY aggregate_type, aggregate_id)
