-- What an event does to an order depends on what came before it: the same as order_lifecycle.sql, for many events at
-- once. An aggregate function goes through the events of each order, from the state that the order has in the table.
-- aggregates: order

-- create
CREATE TYPE order_state AS (status text, refused bigint);
CREATE FUNCTION order_step(state order_state, stored order_state, event_type text) RETURNS order_state
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    now order_state := coalesce(state, stored);
BEGIN
    IF event_type = 'order-placed' AND now.status IS NULL THEN
        now := ROW('open', 0);
    ELSIF event_type = 'order-paid' AND now.status = 'open' THEN
        now.status := 'paid';
    ELSIF event_type = 'order-shipped' AND now.status = 'paid' THEN
        now.status := 'shipped';
    ELSIF event_type = 'order-cancelled' AND now.status <> 'shipped' THEN
        now.status := 'cancelled';
    ELSIF event_type IN ('order-placed', 'order-paid', 'order-shipped', 'order-cancelled') THEN
        now.refused := now.refused + 1;
    END IF;
    RETURN now;
END $$;
CREATE AGGREGATE order_state_after(stored order_state, event_type text) (SFUNC = order_step, STYPE = order_state);
CREATE TABLE order_states (order_id text PRIMARY KEY, status text NOT NULL, refused bigint NOT NULL);

-- apply
INSERT INTO order_states (order_id, status, refused)
SELECT order_id, (state).status, (state).refused
FROM (
    SELECT
        b.aggregate_id AS order_id,
        order_state_after(
            CASE WHEN o.order_id IS NOT NULL THEN ROW(o.status, o.refused)::order_state END,
            b.event_type ORDER BY b.version
        ) AS state
    FROM batch AS b LEFT JOIN order_states AS o ON o.order_id = b.aggregate_id
    GROUP BY b.aggregate_id
) AS folded
WHERE (state).status IS NOT NULL
ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, refused = excluded.refused;
