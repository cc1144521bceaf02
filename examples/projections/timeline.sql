-- Everything that happened, one row per event, for a page that shows it.

-- create
CREATE TABLE timeline (
    position bigint PRIMARY KEY, aggregate_id text NOT NULL, event_type text NOT NULL, at timestamptz NOT NULL
);
CREATE INDEX ON timeline (aggregate_id, position);

-- apply
INSERT INTO timeline (position, aggregate_id, event_type, at)
SELECT position, aggregate_id, event_type, recorded_at FROM batch ORDER BY position;
