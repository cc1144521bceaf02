-- What has been applied, by whom, and what could not be.

CREATE TABLE projections (
    name       text        PRIMARY KEY COLLATE "C",
    -- What the projection folds and how. A worker that was told otherwise is refused: half of a read model folded
    -- one way and half the other is worse than none.
    definition text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Every change of a checkpoint takes a revision that was never used before, not just the next one of its row: a row
-- that is removed and comes back must not match what a stopped worker remembers of its predecessor.
CREATE SEQUENCE checkpoint_revisions;

-- One row per class: all hashes with hash % modulus = residue. The rows of a projection are an exact cover.
CREATE TABLE checkpoints (
    projection    text        NOT NULL COLLATE "C" REFERENCES projections ON DELETE CASCADE,
    modulus       bigint      NOT NULL,
    residue       bigint      NOT NULL,
    revision      bigint      NOT NULL DEFAULT nextval('checkpoint_revisions'),
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
CREATE TABLE parked_events (
    projection     text        NOT NULL COLLATE "C" REFERENCES projections ON DELETE CASCADE,
    position       bigint      NOT NULL REFERENCES events (position),
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

CREATE INDEX parked_events_aggregate_idx ON parked_events (projection, aggregate_type, aggregate_id, version)
    WHERE dropped_at IS NULL;

-- One row per running worker, written on a connection of its own, so that a fold that hangs is seen to hang.
CREATE TABLE heartbeats (
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
    beat_at          timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
