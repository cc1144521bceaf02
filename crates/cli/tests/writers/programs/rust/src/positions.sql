BEGIN;
ALTER TABLE events ADD COLUMN position bigint;
UPDATE events SET position = numbered.position
FROM (SELECT ctid, row_number() OVER (ORDER BY sequence) AS position FROM events) numbered
WHERE events.ctid = numbered.ctid;
ALTER TABLE events ALTER position SET NOT NULL, ALTER position ADD GENERATED ALWAYS AS IDENTITY;
SELECT setval(pg_get_serial_sequence('events', 'position'), max(position)) FROM events;
CREATE UNIQUE INDEX ON events (position);
COMMIT;
