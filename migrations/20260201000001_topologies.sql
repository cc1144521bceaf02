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

-- Projections that were begun before there was a choice.
INSERT INTO topologies (projection, total) SELECT projection, max(modulus) FROM checkpoints GROUP BY projection;
