-- What the tables say. A committed row's xid is below the xmax of the statement's own snapshot, and so is the xmax of
-- every snapshot that was taken before it, as long as both are of the same cluster: a wrong one loses events without a
-- word.
SELECT (SELECT string_agg(version || '=' || encode(checksum, 'hex'), ',')
        FROM evenfold._sqlx_migrations WHERE success) AS applied,
       EXISTS (SELECT FROM evenfold.log_origin JOIN pg_control_system() USING (system_identifier)) AS origin,
       coalesce((SELECT xid FROM evenfold.events ORDER BY xid DESC LIMIT 1)
                < pg_snapshot_xmax(pg_current_snapshot()), true)
       AND NOT EXISTS (
           SELECT FROM evenfold.checkpoints
           WHERE greatest(pg_snapshot_xmax(seen), pg_snapshot_xmax(upto)) > pg_snapshot_xmax(pg_current_snapshot())
       ) AS numbers,
       coalesce(pg_sequence_last_value('evenfold.events_position_seq'::regclass), 0) AS last,
       greatest((SELECT max(position) FROM evenfold.events), (SELECT max(floor) FROM evenfold.checkpoints WHERE missing IS NULL),
                (SELECT max(upto_floor) FROM evenfold.checkpoints WHERE upto_missing IS NULL), 0) AS highest
