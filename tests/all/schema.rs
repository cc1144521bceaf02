//! evenfold refuses to work where its guarantees would not hold, and says what to do.

use crate::support::{TestDb, append_one, assert_counters_agree, counter, drain, only_worker, scalar};
use evenfold::schema::{self, RepairError, Schema, SchemaError};
use sqlx::{Connection, PgConnection};

async fn run(conn: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_tables_is_refused_until_it_is_migrated() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    assert!(matches!(schema::check(&Schema::default(), &mut conn).await, Err(SchemaError::NotMigrated(_))));
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    schema::check(&Schema::default(), &mut conn).await.unwrap();
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_and_a_newer_schema_are_distinguished() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    run(&mut conn, "INSERT INTO evenfold._sqlx_migrations SELECT 99990101000000, 'later', now(), true, '\\x00', 1")
        .await;
    assert!(matches!(schema::check(&Schema::default(), &mut conn).await, Err(SchemaError::Newer(_))));
    assert!(matches!(schema::migrate(&Schema::default(), &mut conn).await, Err(SchemaError::Newer(_))));
    run(&mut conn, "DELETE FROM evenfold._sqlx_migrations WHERE description = 'later'").await;
    run(
        &mut conn,
        "DELETE FROM evenfold._sqlx_migrations WHERE description = 'counters'; DROP TABLE evenfold.counters, evenfold.counters_rebuild",
    )
    .await;
    let old = schema::check(&Schema::default(), &mut conn).await;
    assert!(matches!(old, Err(SchemaError::Old { missing: 1, .. })), "{old:?}");
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    schema::check(&Schema::default(), &mut conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_application_are_left_alone() {
    for foreign in [
        "CREATE SCHEMA evenfold; CREATE TABLE evenfold.events (id int)",
        "CREATE SCHEMA evenfold;
         CREATE TABLE evenfold._sqlx_migrations (version bigint PRIMARY KEY, description text, installed_on timestamptz,
             success boolean, checksum bytea, execution_time bigint);
         INSERT INTO evenfold._sqlx_migrations VALUES (1, 'theirs', now(), true, '\\x00', 1)",
    ] {
        let db = TestDb::empty().await;
        let mut conn = db.connect().await;
        run(&mut conn, foreign).await;
        assert!(
            matches!(schema::check(&Schema::default(), &mut conn).await, Err(SchemaError::Foreign { .. })),
            "{foreign}"
        );
        assert!(
            matches!(schema::migrate(&Schema::default(), &mut conn).await, Err(SchemaError::Foreign { .. })),
            "{foreign}"
        );
    }
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    run(&mut conn, "UPDATE evenfold._sqlx_migrations SET checksum = '\\x00'").await;
    assert!(
        matches!(schema::check(&Schema::default(), &mut conn).await, Err(SchemaError::Foreign { .. })),
        "changed migrations"
    );
}

/// Whatever is in the way, and however late it is met.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_meets_something_of_another_application_leaves_nothing_behind() {
    for (theirs, named) in [
        ("CREATE SCHEMA evenfold; CREATE TABLE evenfold.leases (id int)", Some("leases")),
        (
            "CREATE SCHEMA evenfold; CREATE TABLE evenfold.counters (id int); CREATE VIEW evenfold.topologies AS SELECT 1 AS id",
            Some("counters, topologies"),
        ),
        (
            "CREATE SCHEMA evenfold; CREATE FUNCTION evenfold.append(json, boolean) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            Some("append()"),
        ),
        // Met in the midst of it only.
        ("CREATE SCHEMA evenfold; CREATE SEQUENCE evenfold.checkpoint_revisions", None),
        ("CREATE SCHEMA evenfold; CREATE TYPE evenfold.heartbeats AS ENUM ()", None),
    ] {
        let db = TestDb::empty().await;
        let mut conn = db.connect().await;
        run(&mut conn, theirs).await;
        let all = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";
        let before = scalar(&mut conn, all).await;
        let refused = schema::migrate(&Schema::default(), &mut conn).await.unwrap_err();
        match named {
            Some(named) => assert!(refused.to_string().contains(&format!("not evenfold's ({named})")), "{refused}"),
            None => assert!(matches!(refused, SchemaError::Database(_)), "{refused}"),
        }
        assert_eq!(scalar(&mut conn, all).await, before, "{theirs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_that_are_run_by_several_at_once_are_run_once() {
    let db = TestDb::empty().await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut conn = db.connect().await;
        all.spawn(async move { schema::migrate(&Schema::default(), &mut conn).await });
    }
    while let Some(migrated) = all.join_next().await {
        migrated.unwrap().unwrap();
    }
    db.database.connect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_caches_is_refused() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    run(&mut conn, "ALTER SEQUENCE evenfold.events_position_seq CACHE 20").await;
    let refused = schema::check(&Schema::default(), &mut conn).await;
    assert!(matches!(refused, Err(SchemaError::SequenceCache(_, 20))), "{refused:?}");
    run(&mut conn, "ALTER SEQUENCE evenfold.events_position_seq CACHE 1").await;
    schema::check(&Schema::default(), &mut conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_would_hand_out_positions_again_is_refused() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    append_one(&mut conn, "a", 1).await;
    run(&mut conn, "SELECT setval('evenfold.events_position_seq', 1)").await;
    let refused = schema::check(&Schema::default(), &mut conn).await;
    assert!(matches!(refused, Err(SchemaError::SequenceBehind(_, 2))), "{refused:?}");
    run(&mut conn, "SELECT setval('evenfold.events_position_seq', 2)").await;
    schema::check(&Schema::default(), &mut conn).await.unwrap();
}

/// As a dump and restore into a cluster with fewer transactions behind it leaves the tables.
async fn as_if_restored(conn: &mut PgConnection) {
    run(
        conn,
        "ALTER TABLE evenfold.events DISABLE TRIGGER ALL;
         UPDATE evenfold.events SET xid = (xid::text::bigint + 1000000000)::text::xid8;
         ALTER TABLE evenfold.events ENABLE TRIGGER ALL, ENABLE ALWAYS TRIGGER events_place,
             ENABLE ALWAYS TRIGGER events_append_only;
         UPDATE evenfold.checkpoints SET
             seen = ((pg_snapshot_xmin(seen)::text::bigint + 1000000000) || ':' || (pg_snapshot_xmax(seen)::text::bigint + 1000000000)
                 || ':' || coalesce((SELECT string_agg((x::text::bigint + 1000000000)::text, ',') FROM pg_snapshot_xip(seen) x), ''))
                 ::pg_snapshot,
             next_xid = (next_xid::text::bigint + 1000000000)::text::xid8;
         UPDATE evenfold.log_origin SET system_identifier = 1",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_is_refused_and_goes_on_after_a_repair() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    worker.finish(&mut conn).await.unwrap();
    as_if_restored(&mut conn).await;

    assert!(matches!(schema::check(&Schema::default(), &mut conn).await, Err(SchemaError::Restored(_))));
    let upgraded = schema::accept_upgraded_cluster(&Schema::default(), &mut conn).await;
    assert!(matches!(upgraded, Err(RepairError::NotUpgraded)), "{upgraded:?}");
    let repaired = schema::repair(&Schema::default(), &mut conn).await.unwrap();
    assert_eq!((repaired.events, repaired.projections), (1, 1));
    schema::check(&Schema::default(), &mut conn).await.unwrap();
    append_one(&mut conn, "a", 1).await;
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "a").await, Some((2, 2)));
    assert_counters_agree(&mut conn).await;
    let message = sqlx::query("DELETE FROM evenfold.events").execute(&mut conn).await.unwrap_err().to_string();
    assert!(message.contains("append-only"), "{message}");
}

/// New events would have xids that the restored checkpoint takes for applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_from_another_cluster_is_refused_even_where_no_event_shows_it() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let _worker = only_worker(&mut conn, 10).await;
    for sql in [
        "UPDATE evenfold.checkpoints SET seen = '2000000000:2000000000:'",
        "UPDATE evenfold.checkpoints SET seen = '1:1:', upto = '9:2000000000:9', upto_floor = 0, upto_next_xid = '9', cursor = 0",
    ] {
        run(&mut conn, sql).await;
        assert!(matches!(schema::check(&Schema::default(), &mut conn).await, Err(SchemaError::Restored(_))), "{sql}");
    }
    run(
        &mut conn,
        "UPDATE evenfold.checkpoints SET upto = NULL, upto_floor = NULL, upto_next_xid = NULL, cursor = NULL",
    )
    .await;
    schema::check(&Schema::default(), &mut conn).await.unwrap();
    run(&mut conn, "UPDATE evenfold.log_origin SET system_identifier = 1").await;
    assert!(
        matches!(schema::check(&Schema::default(), &mut conn).await, Err(SchemaError::Restored(_))),
        "the identifier alone shows it"
    );
    schema::accept_upgraded_cluster(&Schema::default(), &mut conn).await.unwrap();
    schema::check(&Schema::default(), &mut conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_refuses_to_skip_what_a_projection_has_not_applied() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 1).await;
    append_one(&mut conn, "a", 1).await;
    append_one(&mut conn, "a", 1).await;
    worker.step(&mut conn).await.unwrap();
    let refused = schema::repair(&Schema::default(), &mut conn).await;
    assert!(matches!(refused, Err(RepairError::Incomplete { behind: 1, .. })), "{refused:?}");
    assert_eq!(
        scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE xid = '3'").await,
        0,
        "nothing has changed"
    );
    drain(&mut worker, &mut conn).await;
    assert_eq!(counter(&mut conn, "a").await, Some((2, 2)));
}

/// The numbers of their transactions are such as this cluster has not given out yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_refuses_to_skip_what_was_in_progress_when_a_worker_had_looked() {
    // Mostly above the transactions that the worker's snapshot knows; and in its list of those in progress.
    for overtaken in [false, true] {
        let db = TestDb::new().await;
        let (mut conn, mut late) = (db.connect().await, db.connect().await);
        let mut worker = only_worker(&mut conn, 10).await;
        append_one(&mut conn, "a", 1).await;
        let mut tx = late.begin().await.unwrap();
        append_one(&mut tx, "late", 1).await;
        if overtaken {
            append_one(&mut conn, "a", 1).await;
        }
        drain(&mut worker, &mut conn).await;
        tx.commit().await.unwrap();
        as_if_restored(&mut conn).await;
        let refused = schema::repair(&Schema::default(), &mut conn).await;
        assert!(matches!(refused, Err(RepairError::Incomplete { behind: 1, .. })), "{overtaken}: {refused:?}");
    }
}
