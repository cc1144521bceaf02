-- The read model of the counter projection.
CREATE TABLE evenfold.counters (
    aggregate_type text   NOT NULL COLLATE "C",
    aggregate_id   text   NOT NULL COLLATE "C",
    events         bigint NOT NULL,
    value          bigint NOT NULL,
    version        bigint NOT NULL,
    last_position  bigint NOT NULL,

    PRIMARY KEY (aggregate_type, aggregate_id)
-- No index on what changes and room in each page: an update stays in its page and touches no index (HOT).
) WITH (fillfactor = 70);

-- Where a rebuild makes the counters anew, as a shadow of those that are in use.
CREATE TABLE evenfold.counters_rebuild (LIKE evenfold.counters INCLUDING ALL) WITH (fillfactor = 70);
