-- How many events of each type each aggregate has. Say here what your read model is.
--
-- Which events it wants, and of which aggregates, in lines such as these without the first dashes (every event
-- without them):
-- -- events: order-placed, order-paid
-- -- aggregates: order

-- create
-- Run once, when the first worker begins the projection. Each table needs a primary key; leave schemas out.
CREATE TABLE {name} (
    aggregate_type text, aggregate_id text, event_type text, events bigint NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, event_type)
);

-- apply
-- Run once for each batch, over the relation batch: position, aggregate_type, aggregate_id, version, event_type,
-- payload, metadata, event_id, recorded_at, erased. Where a batch ends is not known, so add to what is there; and write
-- rows in the order of their key, because two partitions may write the same ones.
INSERT INTO {name} AS t (aggregate_type, aggregate_id, event_type, events)
SELECT aggregate_type, aggregate_id, event_type, count(*)
FROM batch
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
ON CONFLICT (aggregate_type, aggregate_id, event_type) DO UPDATE SET events = t.events + excluded.events;
