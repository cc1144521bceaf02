-- How many partitions a projection has, and had.
CREATE TABLE topologies (
    projection    text        NOT NULL COLLATE "C" REFERENCES projections ON DELETE CASCADE,
    total         bigint      NOT NULL CHECK (total BETWEEN 1 AND 65536),
    since         timestamptz NOT NULL DEFAULT now(),
    -- Set when workers with another total took over. Workers that still have this one wait for a while, instead of
    -- taking over in their turn: replicas are restarted one by one, and each start of an old one would undo the change.
    superseded_at timestamptz,

    PRIMARY KEY (projection, total)
);

CREATE UNIQUE INDEX topologies_current_idx ON topologies (projection) WHERE superseded_at IS NULL;

-- Which replica has which partition, where replicas choose for themselves. A lease only keeps them out of each other's
-- way: that no two of them write is the checkpoints' business.
CREATE TABLE leases (
    projection    text        NOT NULL COLLATE "C",
    total         bigint      NOT NULL,
    partition_key bigint      NOT NULL,
    owner         uuid        NOT NULL,
    expires_at    timestamptz NOT NULL,

    PRIMARY KEY (projection, total, partition_key)
) WITH (fillfactor = 50);

ALTER TABLE heartbeats ADD COLUMN per_second double precision NOT NULL DEFAULT 0;

-- Projections that were begun before there was a choice.
INSERT INTO topologies (projection, total) SELECT projection, max(modulus) FROM checkpoints GROUP BY projection;
