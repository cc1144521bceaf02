-- A stream's table of prooph/pdo-event-store, with the aggregate stream strategy, as documented.
CREATE TABLE "_1a2b" (
  no BIGSERIAL,
  event_id UUID NOT NULL,
  event_name VARCHAR(100) NOT NULL,
  payload JSON NOT NULL,
  metadata JSONB NOT NULL,
  created_at TIMESTAMP(6) NOT NULL,
  PRIMARY KEY (no),
  UNIQUE (event_id)
);
CREATE UNIQUE INDEX ON "_1a2b" ((metadata->>'_aggregate_type'), (metadata->>'_aggregate_id'), (metadata->>'_aggregate_version'));
INSERT INTO "_1a2b" (event_id, event_name, payload, metadata, created_at)
SELECT gen_random_uuid(), 'placed', '{"amount": 2}', format('{"_aggregate_type": "Order", "_aggregate_id": "1", "_aggregate_version": %s}', n)::jsonb, now()
FROM generate_series(1, 2) n;
