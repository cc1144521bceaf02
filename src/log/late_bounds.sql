-- Where the late events of a window are, whoever they are for: every so many of them the position of one, and that of
-- the last. "+ 0" as in late.sql.
SELECT position, number
FROM (
    SELECT position, row_number() OVER by_position AS number, lead(position) OVER by_position AS next
    FROM {log}
    WHERE position + 0 > $1
      AND {upto}
      AND position + 0 <= $2
      AND (xid = ANY ((SELECT $3::text[]::xid8[])::xid8[])
           OR (xid >= (SELECT $4::text::xid8) AND xid < (SELECT $5::text::xid8)))
    WINDOW by_position AS (ORDER BY position + 0)
) late
WHERE number % $6 = 0 OR next IS NULL
ORDER BY number
