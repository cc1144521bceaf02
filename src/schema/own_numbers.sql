-- A committed row's xid is below the xmax of the statement's own snapshot, and so is the xmax of every snapshot that
-- was taken before it, as long as both are of the same cluster.
SELECT EXISTS (SELECT FROM log_origin JOIN pg_control_system() USING (system_identifier)),
       coalesce((SELECT xid FROM events ORDER BY xid DESC LIMIT 1) < pg_snapshot_xmax(pg_current_snapshot()), true)
       AND NOT EXISTS (
           SELECT FROM checkpoints
           WHERE greatest(pg_snapshot_xmax(seen), pg_snapshot_xmax(upto)) > pg_snapshot_xmax(pg_current_snapshot())
       )
