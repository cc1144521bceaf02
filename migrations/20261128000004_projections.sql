-- What has been applied, by whom, and what could not be.

CREATE TABLE evenfold.projections (
    name       text        PRIMARY KEY COLLATE "C",
    -- What the projection folds and how. A worker with another definition is refused: half of a read model folded
    -- one way and half the other is worse than none.
    definition text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Every change of a checkpoint takes a revision that was never used before, not just the next one of its row: a row
-- that is removed and comes back must not match what a stopped worker remembers of its predecessor.
CREATE SEQUENCE evenfold.checkpoint_revisions;

-- One row per class: all hashes with hash % modulus = residue. The rows of a projection are an exact cover.
CREATE TABLE evenfold.checkpoints (
    projection    text        NOT NULL COLLATE "C" REFERENCES evenfold.projections ON DELETE CASCADE,
    modulus       bigint      NOT NULL,
    residue       bigint      NOT NULL,
    revision      bigint      NOT NULL DEFAULT nextval('evenfold.checkpoint_revisions'),
    -- A fence: everything that is visible in it has been applied.
    seen          pg_snapshot NOT NULL DEFAULT '1:1:',
    floor         bigint      NOT NULL DEFAULT 0,
    next_xid      xid8        NOT NULL DEFAULT '1',
    -- The open window, if any: the fence that it reaches up to, and how far into it the applied events go.
    upto          pg_snapshot,
    upto_floor    bigint,
    upto_next_xid xid8,
    cursor        bigint,
    owner         uuid,
    moved_at      timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (projection, modulus, residue),
    CHECK (modulus BETWEEN 1 AND 65536 AND residue >= 0 AND residue < modulus),
    CHECK (num_nulls(upto, upto_floor, upto_next_xid, cursor) IN (0, 4))
) WITH (fillfactor = 50);

-- Events that could not be applied, and the later ones of their aggregates. The log keeps their contents.
CREATE TABLE evenfold.parked_events (
    projection     text        NOT NULL COLLATE "C" REFERENCES evenfold.projections ON DELETE CASCADE,
    position       bigint      NOT NULL REFERENCES evenfold.events (position),
    aggregate_type text        NOT NULL COLLATE "C",
    aggregate_id   text        NOT NULL COLLATE "C",
    version        bigint      NOT NULL,
    hash           bigint      NOT NULL,
    reason         text        NOT NULL,
    parked_at      timestamptz NOT NULL DEFAULT now(),
    -- Set when an operator gave the event up: it stays on record as an event that the read model does not contain.
    dropped_at     timestamptz,

    PRIMARY KEY (projection, position)
);

CREATE INDEX parked_events_aggregate_idx ON evenfold.parked_events (projection, aggregate_type, aggregate_id, version)
    WHERE dropped_at IS NULL;

-- One row per running worker, written on a connection of its own, so that a fold that hangs is seen to hang.
CREATE TABLE evenfold.heartbeats (
    worker           uuid        PRIMARY KEY,
    projection       text        NOT NULL COLLATE "C",
    partition_key    bigint      NOT NULL,
    total_partitions bigint      NOT NULL,
    process          text        NOT NULL,
    state            text        NOT NULL,
    applied          bigint      NOT NULL,
    coordination_ms  bigint      NOT NULL,
    compute_ms       bigint      NOT NULL,
    started_at       timestamptz NOT NULL DEFAULT now(),
    beat_at          timestamptz NOT NULL DEFAULT now(),
    per_second       double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- How many partitions a projection has, and had.
CREATE TABLE evenfold.topologies (
    projection    text        NOT NULL COLLATE "C" REFERENCES evenfold.projections ON DELETE CASCADE,
    total         bigint      NOT NULL CHECK (total BETWEEN 1 AND 65536),
    since         timestamptz NOT NULL DEFAULT now(),
    -- Set when workers with another total took over. Workers that still have this one wait for a while, instead of
    -- taking over in their turn: replicas are restarted one by one, and each start of an old one would undo the change.
    superseded_at timestamptz,

    PRIMARY KEY (projection, total)
);

CREATE UNIQUE INDEX topologies_current_idx ON evenfold.topologies (projection) WHERE superseded_at IS NULL;

-- Which replica has which partition, where replicas choose for themselves. A lease only keeps them out of each other's
-- way: that no two of them write is the checkpoints' business.
CREATE TABLE evenfold.leases (
    projection    text        NOT NULL COLLATE "C",
    total         bigint      NOT NULL,
    partition_key bigint      NOT NULL,
    owner         uuid        NOT NULL,
    expires_at    timestamptz NOT NULL,

    PRIMARY KEY (projection, total, partition_key)
) WITH (fillfactor = 50);
