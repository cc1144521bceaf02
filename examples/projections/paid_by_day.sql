-- What each customer paid on each day: rows that orders of any partition add to.
-- events: order-paid

-- create
CREATE TABLE paid_by_day (
    customer text, day date, orders bigint NOT NULL, cents bigint NOT NULL,
    PRIMARY KEY (customer, day)
);

-- apply
INSERT INTO paid_by_day AS t (customer, day, orders, cents)
SELECT p.customer, (p.at AT TIME ZONE 'UTC')::date, count(*), sum(p.cents)
FROM batch, json_to_record(payload) AS p (customer text, at timestamptz, cents bigint)
GROUP BY 1, 2
ORDER BY 1, 2 -- partitions write the same rows: always in the order of the key
ON CONFLICT (customer, day) DO UPDATE
    SET orders = t.orders + excluded.orders, cents = t.cents + excluded.cents;
