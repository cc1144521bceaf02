-- What has a name and all of these columns, or, where none is given, tables that have them, whatever they are called.
SELECT n.nspname::text, c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT c.relispartition
  AND CASE WHEN $1::text IS NULL THEN c.relkind IN ('r', 'p')
           ELSE c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') END
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND (SELECT count(*) FROM pg_attribute a
       WHERE a.attrelid = c.oid AND a.attname = ANY ($2::text[]) AND NOT a.attisdropped)
      = (SELECT count(DISTINCT name) FROM unnest($2::text[]) AS name)
ORDER BY 1, 2
