-- In which region each customer is: for others to look up, such as paid_by_region.sql.
-- events: customer-moved
-- aggregates: customer

-- create
CREATE TABLE customers (customer text PRIMARY KEY, region text NOT NULL);

-- apply
INSERT INTO customers (customer, region)
SELECT DISTINCT ON (aggregate_id) aggregate_id, payload ->> 'region'
FROM batch
ORDER BY aggregate_id, version DESC
ON CONFLICT (customer) DO UPDATE SET region = excluded.region;
