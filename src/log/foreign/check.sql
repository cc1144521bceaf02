-- What the catalogs say of a log that others write, and its highest position.
SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence, row_security_active(c.oid) AS row_security,
       has_table_privilege(c.oid, 'SELECT') AS readable,
       EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = c.oid) AS subscriber,
       format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS never_null,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
                 AND i.indkey[0] = a.attnum AND i.indpred IS NULL AND i.indimmediate) AS is_unique,
       s.seqrelid IS NOT NULL AS has_sequence, s.seqcache AS cache, s.seqincrement AS increment, s.seqcycle AS cycles,
       pg_get_expr(d.adbin, d.adrelid) AS default,
       s.seqrelid::regclass::text AS sequence
FROM pg_class c
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_sequence s ON s.seqrelid = coalesce(
    to_regclass($3),
    to_regclass(CASE WHEN a.attnum IS NOT NULL THEN pg_get_serial_sequence(c.oid::regclass::text, $2) END),
    (SELECT p.refobjid FROM pg_depend p
     WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
       AND EXISTS (SELECT FROM pg_sequence q WHERE q.seqrelid = p.refobjid)
     LIMIT 1))
WHERE c.oid = to_regclass($1)
