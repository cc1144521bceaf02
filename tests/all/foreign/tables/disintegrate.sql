-- The table of disintegrate-postgres, from its repository, with a domain id.
CREATE SEQUENCE IF NOT EXISTS seq_event_event_id;
CREATE TABLE IF NOT EXISTS event (
  event_id BIGINT PRIMARY KEY DEFAULT nextval('seq_event_event_id'),
  event_type VARCHAR(255),
  payload BYTEA,
  inserted_at TIMESTAMP DEFAULT now()
);
ALTER TABLE event ADD COLUMN cart_id TEXT;
INSERT INTO event (event_type, payload, cart_id) VALUES ('added', '{"amount": 5}', 'a'), ('added', NULL, 'b');
