-- What operators did to parked aggregates by way of `evenfold monitor`. Each row is committed before anything is done, so
-- that nothing is done without one.
CREATE TABLE evenfold.operations (
    operation      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The name that the operator has given.
    who            text        NOT NULL,
    what           text        NOT NULL,
    projection     text        NOT NULL COLLATE "C",
    aggregate_type text        NOT NULL COLLATE "C",
    aggregate_id   text        NOT NULL COLLATE "C",
    begun_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- What became of it; null while it is under way, or where its process has ended in the middle of it.
    outcome        text,
    finished_at    timestamptz,

    CHECK (num_nulls(outcome, finished_at) IN (0, 2))
);
