-- The tables of commanded's eventstore, as documented for 1.4.
CREATE TABLE streams (stream_id bigserial PRIMARY KEY, stream_uuid text NOT NULL UNIQUE, stream_version bigint DEFAULT 0 NOT NULL,
                      created_at timestamptz DEFAULT now() NOT NULL, deleted_at timestamptz);
CREATE TABLE events (event_id uuid PRIMARY KEY, event_type text NOT NULL, causation_id uuid, correlation_id uuid,
                     data bytea NOT NULL, metadata bytea, created_at timestamptz DEFAULT now() NOT NULL);
CREATE TABLE stream_events (
  event_id uuid NOT NULL REFERENCES events (event_id),
  stream_id bigint NOT NULL REFERENCES streams (stream_id),
  stream_version bigint NOT NULL,
  original_stream_id bigint REFERENCES streams (stream_id),
  original_stream_version bigint,
  PRIMARY KEY (event_id, stream_id)
);
CREATE UNIQUE INDEX ix_stream_events ON stream_events (stream_id, stream_version);
INSERT INTO streams (stream_id, stream_uuid) VALUES (0, '$all'), (1, 'account-1'), (2, 'account-2');
INSERT INTO events (event_id, event_type, data) SELECT md5(n::text)::uuid, 'Opened', convert_to(format('{"n": %s}', n), 'UTF8')
FROM generate_series(1, 3) n;
INSERT INTO stream_events VALUES
  (md5('1')::uuid, 1, 1, 1, 1), (md5('1')::uuid, 0, 1, 1, 1), (md5('2')::uuid, 2, 1, 2, 1), (md5('2')::uuid, 0, 2, 2, 1),
  (md5('3')::uuid, 1, 2, 1, 2), (md5('3')::uuid, 0, 3, 1, 2);
