//! `migrate` and `repair`, and what the other commands say where the tables are not as they must be.

use crate::support::cli::{apply_all, feed, run_at};
use crate::support::{TestDb, append_one, assert_counters_agree, counter, scalar};

async fn sql(db: &TestDb, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut db.connect().await).await.unwrap();
}

/// What each of the commands says; `migrate` as well, unless it is the cure.
async fn each_complains(db: &TestDb, migrate_too: bool, phrase: &str) {
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace >= 16384";
    let before = scalar(&mut db.connect().await, tables).await;
    run_at(db, &["worker", "--partition-key=0"]).complains(1, phrase);
    for args in [&["counters"][..], &["append"], &["generate", "--yes", "--events=1"], &["parked", "list"]] {
        let output = run_at(db, args);
        output.complains(1, phrase);
        assert!(output.err.lines().count() <= 2, "but which database it is: {output:#?}");
    }
    if migrate_too {
        run_at(db, &["migrate"]).complains(1, phrase);
        run_at(db, &["repair"]).complains(1, phrase);
    }
    assert_eq!(scalar(&mut db.connect().await, tables).await, before, "nothing was made or removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_refused_until_migrate_which_can_be_run_again() {
    let db = TestDb::empty().await;
    each_complains(&db, false, "no evenfold tables in the schema evenfold yet: run `evenfold migrate`").await;
    for output in [
        "the tables are in the schema evenfold, and up to date\n",
        "the tables in the schema evenfold are up to date\n",
    ] {
        assert_eq!(run_at(&db, &["migrate"]).fine(), output);
    }
    run_at(&db, &["counters"]).fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_refused_until_migrate() {
    let db = TestDb::new().await;
    sql(&db, "DELETE FROM evenfold._sqlx_migrations WHERE description = 'counters'; DROP TABLE evenfold.counters, evenfold.counters_rebuild")
        .await;
    each_complains(&db, false, "older than this evenfold (1 migration(s) behind): run `evenfold migrate`").await;
    run_at(&db, &["migrate"]).fine();
    run_at(&db, &["counters"]).fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused() {
    let db = TestDb::new().await;
    sql(&db, "INSERT INTO evenfold._sqlx_migrations SELECT 99990101000000, 'later', now(), true, '\\x00', 1").await;
    each_complains(&db, true, "newer than this evenfold: install the version that migrated them").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_applications_tables_are_refused_and_left_alone() {
    let db = TestDb::empty().await;
    sql(&db, "CREATE SCHEMA evenfold; CREATE TABLE evenfold.events (id int); INSERT INTO evenfold.events VALUES (1)")
        .await;
    each_complains(&db, true, "not evenfold's (events): choose another schema with --schema").await;
    assert_eq!(scalar(&mut db.connect().await, "SELECT count(id) FROM evenfold.events").await, 1);
    // What the sentence advises.
    run_at(&db, &["migrate", "--schema=orders"]).fine();
    run_at(&db, &["counters", "--schema=orders"]).fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_caches_is_refused_with_the_statement_that_mends_it() {
    let db = TestDb::new().await;
    sql(&db, "ALTER SEQUENCE evenfold.events_position_seq CACHE 20").await;
    each_complains(&db, false, "run `ALTER SEQUENCE evenfold.events_position_seq CACHE 1`").await;
    sql(&db, "ALTER SEQUENCE evenfold.events_position_seq CACHE 1").await;
    run_at(&db, &["counters"]).fine();
}

/// An event that took a position which the log had passed was never looked for: the advice ends with what finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_was_set_back_is_refused_and_following_the_advice_loses_nothing() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    sql(&db, "SELECT nextval('evenfold.events_position_seq')").await;
    append_one(&mut conn, "b", 1).await;
    apply_all(&db).fine();
    sql(&db, "SELECT setval('evenfold.events_position_seq', 1)").await;
    assert_eq!(append_one(&mut conn, "missed", 1).await.position, 2);
    each_complains(&db, false, "run `SELECT setval('evenfold.events_position_seq', 3)`, and then `evenfold rebuild`")
        .await;
    sql(&db, "SELECT setval('evenfold.events_position_seq', 3)").await;
    run_at(&db, &["rebuild"]).fine();
    assert_eq!(counter(&mut conn, "missed").await, Some((1, 1)));
    assert!(run_at(&db, &["verify"]).fine().contains("all 3 counters agree"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_is_refused_until_repair() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    apply_all(&db).fine();
    sql(&db, "UPDATE evenfold.log_origin SET system_identifier = 1").await;
    each_complains(&db, false, "restored from another PostgreSQL cluster").await;
    let output = run_at(&db, &["repair"]);
    assert!(output.fine().contains("1 events renumbered, 1 projections go on where they were"), "{output:?}");
    append_one(&mut conn, "a", 1).await;
    apply_all(&db).fine();
    assert_eq!(counter(&mut conn, "a").await, Some((2, 2)));
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_of_a_fresh_log_changes_nothing() {
    let db = TestDb::new().await;
    let output = run_at(&db, &["repair"]);
    assert!(output.fine().contains("nothing to repair"), "{output:?}");
    feed(&db, &["append"], r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":{}}"#).fine();
    apply_all(&db).fine();
    assert_eq!(counter(&mut db.connect().await, "a").await, Some((1, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_refuses_what_is_not_complete_and_starts_over_when_asked() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 5).await;
    apply_all(&db).fine();
    sql(&db, "UPDATE evenfold.counters SET value = 7").await;
    append_one(&mut conn, "a", 5).await;
    sql(&db, "UPDATE evenfold.log_origin SET system_identifier = 1").await;
    run_at(&db, &["repair"]).complains(1, "empty its read model with `evenfold repair --start-over counters`");
    run_at(&db, &["repair", "--start-over=counters"]).fine();
    assert_eq!(counter(&mut conn, "a").await, None, "to be built anew");
    apply_all(&db).fine();
    assert_eq!(counter(&mut conn, "a").await, Some((10, 2)));
    assert_counters_agree(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_cluster_keeps_its_transaction_ids() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    sql(&db, "UPDATE evenfold.log_origin SET system_identifier = 1").await;
    run_at(&db, &["repair", "--upgraded"]).fine();
    assert_eq!(
        scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE xid = '3'").await,
        0,
        "nothing is renumbered"
    );
    run_at(&db, &["counters"]).fine();
}
