-- The relation that a projection's statements read. Its texts have the collation of the database and not that of the
-- log, which is "C": a comparison with an ordinary key would take that one, and no index of the key could be used.
CREATE OR REPLACE TEMPORARY VIEW batch AS
SELECT position, aggregate_type COLLATE "default" AS aggregate_type, aggregate_id COLLATE "default" AS aggregate_id,
       version, event_type COLLATE "default" AS event_type, payload, metadata, event_id, recorded_at,
       payload::text = '{"evenfold_erased":true}' AS erased
FROM evenfold.events
WHERE {events}
