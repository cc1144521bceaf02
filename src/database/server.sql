-- The server behind a connection. A standby has no position to write at, and so no timeline of its own.
SELECT pg_is_in_recovery() AS standby, current_setting('server_version_num')::int AS version_number,
       current_setting('server_version') AS version, current_setting('server_encoding') AS encoding,
       current_database()::text AS database, current_user::text AS "user",
       (SELECT system_identifier FROM pg_control_system())::text || '/' ||
           CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
           || '/' || extract(epoch FROM pg_postmaster_start_time())::text AS identity
