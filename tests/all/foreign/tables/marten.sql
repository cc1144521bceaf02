-- The table of Marten 8 and 9 with conjoined tenancy, as documented; Quick mode draws in PL/pgSQL before the INSERT.
CREATE TABLE mt_events (
  seq_id bigint NOT NULL,
  id uuid NOT NULL,
  stream_id varchar NOT NULL,
  version bigint NOT NULL,
  data jsonb NOT NULL,
  type varchar(500) NOT NULL,
  timestamp timestamptz NOT NULL DEFAULT now(),
  tenant_id varchar DEFAULT '*DEFAULT*',
  mt_dotnet_type varchar,
  is_archived bool DEFAULT FALSE,
  CONSTRAINT pk_mt_events PRIMARY KEY (seq_id)
);
CREATE SEQUENCE mt_events_sequence OWNED BY mt_events.seq_id;
CREATE UNIQUE INDEX pk_mt_events_stream_and_version ON mt_events (tenant_id, stream_id, version);
INSERT INTO mt_events (seq_id, id, stream_id, version, data, type, tenant_id)
SELECT nextval('mt_events_sequence'), gen_random_uuid(), 'a', n, '{}', 'added', tenant
FROM (VALUES (1, '*DEFAULT*'), (2, '*DEFAULT*'), (1, 'eu')) v (n, tenant);
