-- Projections of logs that others write: fences that name positions, where the log is, and parked events of any log.

-- The system identifier and the timeline of the server that the log is on, where that is another one.
ALTER TABLE evenfold.projections ADD COLUMN log_server text;

-- Of a log that others write, whose fence is a set of positions: those up to the floor that are not in it.
ALTER TABLE evenfold.checkpoints
    ADD COLUMN missing bigint[],
    ADD COLUMN upto_missing bigint[],
    ADD CHECK (upto_missing IS NULL OR upto IS NOT NULL);

ALTER TABLE evenfold.parked_events DROP CONSTRAINT parked_events_position_fkey;
