-- What has happened to a table that is not in its rows, of it and its partitions.
SELECT coalesce((SELECT sum(s.n_tup_del)::bigint FROM pg_stat_user_tables s WHERE s.relid = ANY (tables)), 0),
       ARRAY(SELECT DISTINCT t.tgname::text FROM pg_trigger t
             WHERE t.tgrelid = ANY (tables) AND NOT t.tgisinternal AND t.tgenabled <> 'D'
               AND t.tgtype & 1 = 1 AND t.tgtype & 2 = 2 AND t.tgtype & 4 = 4 ORDER BY 1),
       (SELECT sum(greatest(c.reltuples, 0))::bigint FROM pg_class c WHERE c.oid = ANY (tables))
FROM parse_ident($1) AS name (parts)
JOIN pg_class c ON c.relname = parts[cardinality(parts)]
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT array_agg(t.oid) AS tables FROM (
        SELECT c.oid UNION SELECT p.relid FROM pg_partition_tree(c.oid) p) t) all_of_it
WHERE CASE cardinality(parts) WHEN 1 THEN pg_table_is_visible(c.oid) ELSE n.nspname = parts[1] END
