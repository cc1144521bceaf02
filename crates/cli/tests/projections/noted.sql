-- Every event, how often it came, and the how manyth of its aggregate it was.

-- create
CREATE TABLE aggregates (type text, id text, events bigint NOT NULL, PRIMARY KEY (type, id));
CREATE TABLE noted (
    position bigint PRIMARY KEY, type text NOT NULL, id text NOT NULL, version bigint NOT NULL, nth bigint NOT NULL,
    times bigint NOT NULL
);

-- each event
INSERT INTO aggregates AS a VALUES (event.aggregate_type, event.aggregate_id, 1)
ON CONFLICT (type, id) DO UPDATE SET events = a.events + 1;
INSERT INTO noted AS n
SELECT event.position, a.type, a.id, event.version, a.events, 1 FROM aggregates a
WHERE a.type = event.aggregate_type AND a.id = event.aggregate_id
ON CONFLICT (position) DO UPDATE SET times = n.times + 1;
