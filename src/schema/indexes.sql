-- The indexes for a number of partitions, by their names, which nobody else gives.
SELECT (regexp_match(c.relname, '^events_hash_([0-9]{1,5})_idx$'))[1]::bigint AS total,
       c.oid::regclass::text,
       i.indisvalid,
       EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.datname = current_database() AND p.index_relid = c.oid),
       pg_relation_size(c.oid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = 'evenfold.events'::regclass AND c.relname ~ '^events_hash_[0-9]{1,5}_idx$'
ORDER BY total
