-- The table of pupsourcing, as documented.
CREATE TABLE events (
  global_position bigserial PRIMARY KEY,
  bounded_context text NOT NULL,
  aggregate_type text NOT NULL,
  aggregate_id text NOT NULL,
  aggregate_version bigint NOT NULL,
  event_id uuid NOT NULL UNIQUE,
  event_type text NOT NULL,
  event_version int NOT NULL DEFAULT 1,
  payload bytea NOT NULL,
  trace_id text,
  metadata jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (bounded_context, aggregate_type, aggregate_id, aggregate_version)
);
INSERT INTO events (bounded_context, aggregate_type, aggregate_id, aggregate_version, event_id, event_type, payload, metadata)
VALUES ('a.b', 'c', '1', 1, gen_random_uuid(), 'e', '{"amount": 1}', '{"m": 1}'),
       ('a', 'b.c', '1', 1, gen_random_uuid(), 'e', '{}', NULL), ('a%2Eb', 'c', '1', 1, gen_random_uuid(), 'e', '{}', NULL);
