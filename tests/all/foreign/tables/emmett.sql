-- The table of Emmett 0.42.0, from the npm package @event-driven-io/emmett-postgresql, with the index that evenfold needs.
CREATE SEQUENCE IF NOT EXISTS emt_global_message_position;
CREATE TABLE IF NOT EXISTS emt_messages(
    stream_position        BIGINT                    NOT NULL,
    global_position        BIGINT                    DEFAULT nextval('emt_global_message_position'),
    transaction_id         XID8                      NOT NULL,
    created                TIMESTAMPTZ               NOT NULL DEFAULT now(),
    is_archived            BOOLEAN                   NOT NULL DEFAULT FALSE,
    message_kind           VARCHAR(1)                NOT NULL DEFAULT 'E',
    stream_id              TEXT                      NOT NULL,
    partition              TEXT                      NOT NULL DEFAULT 'emt:default',
    message_schema_version TEXT                      NOT NULL,
    message_id             TEXT                      NOT NULL,
    message_type           TEXT                      NOT NULL,
    message_data           JSONB                     NOT NULL,
    message_metadata       JSONB                     NOT NULL,
    PRIMARY KEY (stream_id, stream_position, partition, is_archived)
) PARTITION BY LIST (partition);
CREATE TABLE emt_messages_emt_default PARTITION OF emt_messages FOR VALUES IN ('emt:default') PARTITION BY LIST (is_archived);
CREATE TABLE emt_messages_emt_default_active PARTITION OF emt_messages_emt_default FOR VALUES IN (FALSE);
CREATE TABLE emt_messages_emt_default_archived PARTITION OF emt_messages_emt_default FOR VALUES IN (TRUE);
CREATE TABLE emt_messages_shop__eu PARTITION OF emt_messages FOR VALUES IN ('shop__eu');
CREATE INDEX ON emt_messages (global_position);
INSERT INTO emt_messages (stream_position, transaction_id, message_kind, stream_id, partition, message_schema_version,
                          message_id, message_type, message_data, message_metadata)
SELECT n, pg_current_xact_id(), kind, stream, partition, '1', gen_random_uuid(), 'added', '{}', '{"a": 1}'
FROM (VALUES (1, 'E', 'cart-a', 'emt:default'), (2, 'C', 'cart-a', 'emt:default'), (3, 'E', 'cart-a', 'emt:default'),
             (1, 'E', 'cart-a', 'shop__eu'), (1, 'E', 'shop__eu-cart-a', 'emt:default')) v (n, kind, stream, partition);
UPDATE emt_messages SET is_archived = true WHERE stream_position = 1 AND stream_id = 'cart-a' AND partition = 'emt:default';
