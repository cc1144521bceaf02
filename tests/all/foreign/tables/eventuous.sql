-- The tables of Eventuous, as documented for 0.15.
CREATE SCHEMA eventuous;
CREATE TABLE eventuous.streams (
  stream_name varchar NOT NULL,
  stream_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  version int NOT NULL DEFAULT -1,
  CONSTRAINT uq_streams_name UNIQUE (stream_name)
);
CREATE TABLE eventuous.messages (
  message_id uuid NOT NULL,
  message_type varchar NOT NULL,
  stream_id integer NOT NULL REFERENCES eventuous.streams (stream_id),
  stream_position int NOT NULL,
  global_position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  json_data jsonb NOT NULL,
  json_metadata jsonb,
  created timestamp NOT NULL,
  CONSTRAINT uq_messages_position UNIQUE (stream_id, stream_position)
);
INSERT INTO eventuous.streams (stream_name) VALUES ('Booking-1'), ('Booking-2');
INSERT INTO eventuous.messages (message_id, message_type, stream_id, stream_position, json_data, created) VALUES
  (gen_random_uuid(), 'Booked', 1, 0, '{"amount": 3}', now()), (gen_random_uuid(), 'Paid', 1, 1, '{}', now()),
  (gen_random_uuid(), 'Booked', 2, 0, '{}', now());
