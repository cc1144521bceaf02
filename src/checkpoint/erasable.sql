-- Of an aggregate: how many events it has, how many are not erased and the version of the last of them, and which projections
-- of this log have applied some of its events.
WITH own AS MATERIALIZED (
    SELECT xid, position, version, hash,
           pg_column_size(payload) > 64 OR payload::text <> '{"evenfold_erased":true}' OR metadata IS NOT NULL AS is_left
    FROM evenfold.events WHERE aggregate_type = $1 AND aggregate_id = $2
)
SELECT count(*), count(*) FILTER (WHERE is_left), coalesce(max(version) FILTER (WHERE is_left), 0),
       ARRAY(SELECT DISTINCT c.projection::text FROM evenfold.checkpoints c
             WHERE c.missing IS NULL AND EXISTS (
                 SELECT FROM own e
                 WHERE e.hash % c.modulus = c.residue
                   AND (pg_visible_in_snapshot(e.xid, c.seen)
                        OR c.upto IS NOT NULL AND pg_visible_in_snapshot(e.xid, c.upto) AND e.position <= c.cursor)
                   AND NOT EXISTS (SELECT FROM evenfold.parked_events p
                                   WHERE p.projection = c.projection AND p.position = e.position))
             ORDER BY 1)
FROM own
