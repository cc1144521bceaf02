-- What the catalogs say of a log that others write. Its names are looked up in the catalogs, which also whoever may not
-- use its schema can read: as relations, they would be an error. The sequence of a position is the one that is named, or
-- that of its identity, or the one that its default draws from, or the one that belongs to the column.
SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence,
       quote_ident(current_user) AS role, row_security_active(c.oid) AS row_security,
       has_schema_privilege(n.oid, 'USAGE') AS usable, CASE WHEN has_schema_privilege(n.oid, 'USAGE') THEN
           (SELECT bool_and(coalesce(has_table_privilege(to_regclass(name)::oid, 'SELECT'), true)) FROM unnest($6::text[]) AS name)
       ELSE false END AS readable,
       EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = c.oid) AS subscriber,
       format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS never_null,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL
                 AND (i.indkey[0] = a.attnum OR i.indkey[0] = part.attnum AND i.indkey[1] = a.attnum)) AS has_index,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                 AND i.indimmediate
                 AND (i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
                      OR i.indnkeyatts = 2 AND i.indkey[0] = part.attnum AND i.indkey[1] = a.attnum)) AS is_unique,
       version.attnum IS NULL
         OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
                      AND i.indpred IS NULL AND i.indnkeyatts > 1
                      AND version.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) AS is_version_unique,
       draws.names IS NOT NULL AND cardinality(draws.names) = 0 AS draws_from_unknown,
       named.oid IS NULL AS named_is_unknown,
       named.oid <> ALL (draws.names) AS draws_from_another,
       draws.names[1]::regclass::text AS drawn_from,
       s.seqcache AS cache, s.seqincrement AS increment, s.seqcycle AS cycles, s.seqrelid::regclass::text AS sequence,
       has_sequence_privilege(s.seqrelid, 'SELECT') AS may_see_last
FROM parse_ident($1) AS name (parts)
JOIN pg_class c ON c.relname = parts[cardinality(parts)]
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND NOT a.attisdropped AND a.attnum > 0
LEFT JOIN pg_attribute part ON part.attrelid = c.oid AND part.attname = $4 AND NOT part.attisdropped
LEFT JOIN pg_attribute version ON version.attrelid = c.oid AND version.attname = $5 AND NOT version.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum AND a.attgenerated = ''
LEFT JOIN LATERAL (
    SELECT p.objid AS oid, p.deptype = 'i' AS is_identity FROM pg_depend p JOIN pg_sequence q ON q.seqrelid = p.objid
    WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.refobjid = c.oid
      AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i')
    ORDER BY p.deptype DESC LIMIT 1) own ON true
-- None where the column has neither identity nor default; an empty list where its default names no sequence.
LEFT JOIN LATERAL (
    SELECT CASE WHEN own.is_identity THEN ARRAY[own.oid]
                WHEN d.oid IS NOT NULL THEN ARRAY(
                    SELECT p.refobjid FROM pg_depend p JOIN pg_sequence q ON q.seqrelid = p.refobjid
                    WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
                      AND p.refclassid = 'pg_class'::regclass) END AS names) draws ON true
LEFT JOIN LATERAL (
    SELECT q.oid FROM parse_ident($3) AS name (parts) JOIN pg_class q ON q.relname = parts[cardinality(parts)]
    WHERE q.relkind = 'S' AND CASE cardinality(parts) WHEN 1 THEN pg_table_is_visible(q.oid)
                                   ELSE q.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = parts[1]) END
    LIMIT 1) named ON true
LEFT JOIN pg_sequence s ON s.seqrelid = coalesce(named.oid, draws.names[1], own.oid)
WHERE CASE cardinality(parts) WHEN 1 THEN pg_table_is_visible(c.oid) ELSE n.nspname = parts[1] END
