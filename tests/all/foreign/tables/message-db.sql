-- The table of message-db 1.3.1, from the npm package @eventide/message-db, and messages as write_message() writes them.
CREATE SCHEMA message_store;
CREATE TABLE IF NOT EXISTS message_store.messages (
  global_position bigserial NOT NULL,
  position bigint NOT NULL,
  time TIMESTAMP WITHOUT TIME ZONE DEFAULT (now() AT TIME ZONE 'utc') NOT NULL,
  stream_name text NOT NULL,
  type text NOT NULL,
  data jsonb,
  metadata jsonb,
  id UUID NOT NULL DEFAULT gen_random_uuid()
);
ALTER TABLE message_store.messages ADD PRIMARY KEY (global_position) NOT DEFERRABLE INITIALLY IMMEDIATE;
CREATE UNIQUE INDEX messages_id ON message_store.messages (id);
CREATE UNIQUE INDEX messages_stream ON message_store.messages (stream_name, position);
INSERT INTO message_store.messages (stream_name, position, type, data) VALUES
  ('account-123', 0, 'Opened', '{"amount": 1}'),
  ('account-123', 1, 'Closed', NULL),
  ('account', 0, 'Listed', '{}'),
  ('account-account', 0, 'Opened', '{}'),
  ('account-', 0, 'Opened', '{}'),
  ('account-7f-2', 0, 'Opened', '{}');
