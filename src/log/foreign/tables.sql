-- The tables of a name, or of any, that have all of these columns, in the schemas that the user may know of.
SELECT n.nspname::text, c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND ($1::text IS NULL OR c.relname = $1)
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND (SELECT count(*) FROM pg_attribute a
       WHERE a.attrelid = c.oid AND a.attname = ANY ($2::text[]) AND NOT a.attisdropped)
      = (SELECT count(DISTINCT name) FROM unnest($2::text[]) AS name)
ORDER BY 1, 2
