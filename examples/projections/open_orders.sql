-- Which orders are open: placed, and neither shipped nor cancelled.
-- events: order-placed, order-shipped, order-cancelled

-- create
CREATE TABLE open_orders (order_id text PRIMARY KEY, customer text NOT NULL, placed_at timestamptz NOT NULL);
CREATE INDEX ON open_orders (customer);

-- apply
INSERT INTO open_orders (order_id, customer, placed_at)
SELECT aggregate_id, payload ->> 'customer', recorded_at FROM batch WHERE event_type = 'order-placed';
DELETE FROM open_orders USING batch
WHERE order_id = aggregate_id AND event_type IN ('order-shipped', 'order-cancelled');
