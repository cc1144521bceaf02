-- What has become of the events at these positions, in one snapshot: one row per state and class, without those that are
-- applied or not wanted. Events and checkpoints are looked up by their primary keys; OFFSET 0 keeps the planner from joining.
--
-- The checkpoint decides, and what is parked: a checkpoint passes an event that is parked as it passes one that is applied.
-- An event that it has not passed is parked as well if an earlier one of its aggregate is: it will be, once it is read.
WITH moduli AS MATERIALIZED (SELECT DISTINCT modulus FROM evenfold.checkpoints WHERE projection = $1),
looked_up AS (
    SELECT k.position, c.modulus, c.residue, parked.position AS cause, parked.aggregate_type, parked.aggregate_id,
           parked.reason,
           CASE WHEN e.hash IS NULL THEN 'invisible'
                WHEN NOT e.wanted THEN NULL
                WHEN c.checkpoints <> 1 THEN 'uncovered'
                WHEN own.dropped THEN 'dropped'
                WHEN own.dropped IS NOT NULL OR (NOT c.passed AND parked.position IS NOT NULL) THEN 'parked'
                WHEN NOT c.passed THEN 'pending'
           END AS state
    FROM unnest($2::bigint[]) AS k (position)
    LEFT JOIN LATERAL (
        SELECT xid, hash, aggregate_type, aggregate_id, version,
               ($3::text[] IS NULL OR aggregate_type = ANY ($3)) AND ($4::text[] IS NULL OR event_type = ANY ($4)) AS wanted
        FROM evenfold.events WHERE events.position = k.position OFFSET 0
    ) e ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS checkpoints, min(c.modulus) AS modulus, min(c.residue) AS residue,
               bool_and(pg_visible_in_snapshot(e.xid, c.seen)
                        OR (c.upto IS NOT NULL AND k.position <= c.cursor AND pg_visible_in_snapshot(e.xid, c.upto))) AS passed
        FROM moduli m
        CROSS JOIN LATERAL (
            SELECT * FROM evenfold.checkpoints
            WHERE projection = $1 AND checkpoints.modulus = m.modulus AND residue = e.hash % m.modulus OFFSET 0
        ) c
    ) c ON true
    LEFT JOIN LATERAL (
        SELECT dropped_at IS NOT NULL AS dropped FROM evenfold.parked_events p
        WHERE p.projection = $1 AND p.position = k.position OFFSET 0
    ) own ON true
    LEFT JOIN LATERAL (
        SELECT p.position, p.aggregate_type, p.aggregate_id, p.reason FROM evenfold.parked_events p
        WHERE p.projection = $1 AND p.dropped_at IS NULL AND p.aggregate_type = e.aggregate_type
          AND p.aggregate_id = e.aggregate_id AND p.version <= e.version
        ORDER BY p.version LIMIT 1
    ) parked ON true
)
SELECT d.definition, s.state, s.modulus, s.residue, s.position, s.cause, s.aggregate_type, s.aggregate_id, s.reason
FROM (SELECT (SELECT definition FROM evenfold.projections WHERE name = $1) AS definition) d
LEFT JOIN LATERAL (
    SELECT DISTINCT ON (state, modulus, residue) * FROM looked_up WHERE state IS NOT NULL
    ORDER BY state, modulus, residue, position
) s ON true
