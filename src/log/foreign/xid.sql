-- The column of a table that is to have the transaction of each row.
SELECT format_type(a.atttypid, a.atttypmod), a.attnotnull,
       coalesce(pg_get_expr(d.adbin, d.adrelid), '') = 'pg_current_xact_id()',
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisvalid AND i.indpred IS NULL
                 AND (i.indkey[0] = a.attnum OR i.indkey[0] = part.attnum AND i.indkey[1] = a.attnum))
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_attribute part ON part.attrelid = a.attrelid AND part.attname = $3 AND NOT part.attisdropped
WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND NOT a.attisdropped AND a.attnum > 0
