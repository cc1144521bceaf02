-- How many events each aggregate has, and the sum of their amounts: what the built-in counters have.

-- create
CREATE TABLE totals (
    aggregate_type text, aggregate_id text, events bigint NOT NULL, value bigint NOT NULL, version bigint NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
);

-- apply
INSERT INTO totals AS t (aggregate_type, aggregate_id, events, value, version)
SELECT aggregate_type, aggregate_id, count(*), sum(coalesce((payload ->> 'amount')::bigint, 1)), max(version)
FROM batch
GROUP BY 1, 2
ORDER BY 1, 2
ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE
    SET events = t.events + excluded.events, value = t.value + excluded.value, version = excluded.version;
