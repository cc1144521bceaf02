-- The state that each order is in: its last event is what counts.
-- aggregates: order

-- create
CREATE TABLE order_status (
    order_id text PRIMARY KEY, status text NOT NULL, changed_at timestamptz NOT NULL, version bigint NOT NULL
);

-- apply
INSERT INTO order_status (order_id, status, changed_at, version)
SELECT DISTINCT ON (aggregate_id) aggregate_id, event_type, recorded_at, version
FROM batch
ORDER BY aggregate_id, version DESC
ON CONFLICT (order_id) DO UPDATE
    SET status = excluded.status, changed_at = excluded.changed_at, version = excluded.version;
