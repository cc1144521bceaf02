-- The table of the Python library eventsourcing 9.5, from its package.
CREATE TABLE IF NOT EXISTS stored_events (
  originator_id uuid NOT NULL,
  originator_version bigint NOT NULL,
  topic text,
  state bytea,
  notification_id bigserial,
  PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX IF NOT EXISTS stored_events_notification_id_idx ON stored_events (notification_id ASC);
INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES
  (md5('a')::uuid, 1, 'shop:Order.Placed', '{"amount": 4}'), (md5('a')::uuid, 2, 'shop:Order.Paid', '{}');
