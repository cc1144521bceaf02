-- What was paid in each region, which is looked up in the table of customers.sql. That table is ahead of this one or
-- behind it, and other when the log is folded again: so a customer is looked up when the sums are read, and not when an
-- event is applied.
-- events: order-paid

-- create
CREATE TABLE paid_by_customer (customer text PRIMARY KEY, cents bigint NOT NULL);
-- The body of a function is looked at when it is called, so that it makes no difference which of the two is begun first.
-- A view would need the table customers when it is made.
CREATE FUNCTION paid_by_region() RETURNS TABLE (region text, cents numeric) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
        SELECT coalesce(c.region, 'unknown'), sum(p.cents)
        FROM paid_by_customer AS p LEFT JOIN customers AS c USING (customer)
        GROUP BY 1;
END $$;

-- apply
INSERT INTO paid_by_customer AS t (customer, cents)
SELECT payload ->> 'customer', sum((payload ->> 'cents')::bigint)
FROM batch
GROUP BY 1
ORDER BY 1 -- partitions write the same rows: always in the order of the key
ON CONFLICT (customer) DO UPDATE SET cents = t.cents + excluded.cents;
