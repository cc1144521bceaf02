-- What the catalogs say of evenfold's tables, whatever is in them, and whatever there is under their names.
SELECT e.log IS NOT NULL AS log, to_regclass('evenfold._sqlx_migrations') IS NOT NULL AS migrations,
       (SELECT string_agg('evenfold.' || c.relname, ', ' ORDER BY c.relname) FROM pg_class c
        WHERE c.relkind IN ('r', 'p') AND row_security_active(c.oid) AND c.oid = ANY (ARRAY[e.log,
            to_regclass('evenfold.log_origin'), to_regclass('evenfold.projections'), to_regclass('evenfold.checkpoints'),
            to_regclass('evenfold.parked_events'), to_regclass('evenfold.topologies'), to_regclass('evenfold.heartbeats'),
            to_regclass('evenfold.leases'), to_regclass('evenfold.counters'), to_regclass('evenfold.counters_rebuild'),
            to_regclass('evenfold.erasures'), to_regclass('evenfold.operations'), to_regclass('evenfold._sqlx_migrations')]::oid[])) AS hidden,
       EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = e.log) AS subscriber,
       (SELECT string_agg(w.name, ', ' ORDER BY w.name) FROM unnest(ARRAY['events_append_only', 'events_place']) AS w (name)
        WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = e.log AND t.tgname = w.name AND t.tgenabled = 'A')
       ) AS triggers,
       (SELECT string_agg(w.name, ', ' ORDER BY w.name)
        FROM unnest(ARRAY['events_pkey', 'events_version_key', 'events_event_id_key']) AS w (name)
        WHERE NOT EXISTS (SELECT FROM pg_constraint t LEFT JOIN pg_index i ON i.indexrelid = t.conindid
                          WHERE t.conrelid = e.log AND t.conname = w.name
                            AND NOT t.condeferrable AND i.indisvalid IS NOT FALSE)
       ) AS constraints,
       (SELECT string_agg(format('the column %s is %s instead of %s', w.name,
                   coalesce(format_type(a.atttypid, a.atttypmod), 'missing'), w.type), ', ' ORDER BY w.name)
        FROM (VALUES ('xid', 'xid8'), ('position', 'bigint'), ('version', 'bigint'), ('hash', 'bigint'),
                     ('recorded_at', 'timestamp with time zone'), ('event_id', 'uuid'), ('aggregate_type', 'text'),
                     ('aggregate_id', 'text'), ('event_type', 'text'), ('payload', 'json'), ('metadata', 'json')
             ) AS w (name, type)
        LEFT JOIN pg_attribute a ON a.attrelid = e.log AND a.attname = w.name AND NOT a.attisdropped
        WHERE format_type(a.atttypid, a.atttypmod) IS DISTINCT FROM w.type
           OR NOT a.attnotnull AND w.name <> 'metadata'
       ) AS columns,
       s.seqcache AS cache, s.seqincrement = 1 AND NOT s.seqcycle AS steps
FROM (SELECT to_regclass('evenfold.events') AS log) e
LEFT JOIN pg_sequence s ON s.seqrelid = to_regclass('evenfold.events_position_seq')
