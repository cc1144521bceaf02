-- The tables of Rails Event Store 2, with the data type jsonb, as its migration makes them.
CREATE TABLE event_store_events (
  id bigserial PRIMARY KEY, event_id uuid NOT NULL, event_type varchar NOT NULL, metadata jsonb, data jsonb NOT NULL,
  created_at timestamp(6) NOT NULL, valid_at timestamp(6)
);
CREATE UNIQUE INDEX ON event_store_events (event_id);
CREATE TABLE event_store_events_in_streams (
  id bigserial PRIMARY KEY, stream varchar NOT NULL, position integer, event_id uuid NOT NULL, created_at timestamp(6) NOT NULL
);
CREATE INDEX ON event_store_events_in_streams (event_id);
CREATE UNIQUE INDEX ON event_store_events_in_streams (stream, position);
INSERT INTO event_store_events (event_id, event_type, data, created_at)
SELECT md5(n::text)::uuid, 'Placed', '{}', now() FROM generate_series(1, 3) n;
INSERT INTO event_store_events_in_streams (stream, position, event_id, created_at) VALUES
  ('Order$1', 0, md5('1')::uuid, now()), ('all_orders', NULL, md5('1')::uuid, now()), ('Order$1', 1, md5('2')::uuid, now());
