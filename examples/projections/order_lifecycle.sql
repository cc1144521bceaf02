-- What an event does to an order depends on what came before it.
-- aggregates: order

-- create
CREATE TABLE order_lifecycle (
    order_id text PRIMARY KEY, status text NOT NULL, refused bigint NOT NULL DEFAULT 0
);

-- each event
CASE event.event_type
WHEN 'order-placed' THEN
    INSERT INTO order_lifecycle (order_id, status) VALUES (event.aggregate_id, 'open');
WHEN 'order-paid' THEN
    UPDATE order_lifecycle SET status = 'paid' WHERE order_id = event.aggregate_id AND status = 'open';
WHEN 'order-shipped' THEN
    UPDATE order_lifecycle SET status = 'shipped' WHERE order_id = event.aggregate_id AND status = 'paid';
WHEN 'order-cancelled' THEN
    UPDATE order_lifecycle SET status = 'cancelled' WHERE order_id = event.aggregate_id AND status <> 'shipped';
ELSE
    CONTINUE;
END CASE;
IF NOT FOUND THEN
    UPDATE order_lifecycle SET refused = refused + 1 WHERE order_id = event.aggregate_id;
END IF;
