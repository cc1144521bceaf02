//! `evenfold uninstall` removes the schema with what is in it, after asking, and nothing else.

use crate::support::cli::{apply_all, run_at};
use crate::support::{Evenfold, SOON, TestDb, append_one, scalar, wait_until};
use evenfold::schema::{self, Schema, UninstallError};
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::Path;
use std::process::Command;

const THERE: &str = "SELECT count(*) FROM pg_namespace WHERE nspname = 'evenfold'";

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstall_says_what_will_go_and_does_nothing_where_nobody_can_be_asked() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    append_one(&mut conn, "a", 1).await;
    apply_all(&db).fine();
    let output = run_at(&db, &["uninstall"]);
    assert_eq!((output.code, output.out.as_str()), (2, ""), "{output:#?}");
    for what in ["the schema evenfold from the database", "all 2 events", "the projection counters", "say --yes"] {
        assert!(output.err.contains(what), "{what}: {output:#?}");
    }
    assert_eq!(scalar(&mut conn, THERE).await, 1);
}

/// At a terminal, which `script` is one of.
#[tokio::test(flavor = "multi_thread")]
async fn uninstall_wants_the_name_of_the_schema_typed() {
    for (answer, code) in [("y", 2), ("evenfol", 2), ("evenfold", 0)] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        append_one(&mut conn, "a", 1).await;
        let inner = format!("{} uninstall --database-url '{}'", env!("CARGO_BIN_EXE_evenfold"), db.url);
        let mut script = Command::new("script");
        script.args(["-qec", &inner, "/dev/null"]).current_dir(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let output = Evenfold::finish(script, format!("{answer}\n").as_bytes());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{answer}: {text}");
        assert!(text.contains("Type evenfold to go on:") && text.contains("its only event"), "{answer}: {text}");
        assert!(text.lines().all(|line| line.trim_end().chars().count() <= 200), "{text}");
        assert_eq!(scalar(&mut conn, THERE).await, i64::from(code != 0), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstall_is_refused_while_a_worker_is_at_work() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let worker = Evenfold::spawn(&["worker", "--partition-key=0", "--total-partitions=1", "--database-url", &db.url]);
    let beats = "SELECT count(*) FROM evenfold.heartbeats";
    wait_until("its heartbeat", SOON, async || scalar(&mut conn, beats).await == 1).await;
    run_at(&db, &["uninstall", "--yes"])
        .complains(1, "works on the projection counters in the schema evenfold: stop every");
    assert_eq!(scalar(&mut conn, THERE).await, 1);
    let mut worker = worker;
    worker.signal(Signal::SIGTERM);
    worker.wait();
    assert_eq!(run_at(&db, &["uninstall", "--yes"]).fine(), "the schema evenfold is removed\n");
    assert_eq!(scalar(&mut conn, THERE).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_made_of_the_schema_or_put_into_it_is_named_and_stays() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    for (theirs, named, removed) in [
        ("CREATE VIEW public.report AS SELECT count(*) FROM evenfold.events", "view report", "DROP VIEW report"),
        (
            "CREATE TABLE public.notes (position bigint REFERENCES evenfold.events (position))",
            "notes",
            "DROP TABLE notes",
        ),
        (
            "CREATE TABLE public.hashed (id text, hash bigint CHECK (hash = evenfold.hash(id)))",
            "hashed",
            "DROP TABLE hashed",
        ),
        ("CREATE TABLE evenfold.revenue (cents bigint)", "evenfold.revenue", "DROP TABLE evenfold.revenue"),
    ] {
        run(&mut conn, theirs).await;
        let output = run_at(&db, &["uninstall", "--yes"]);
        output.complains(1, "the schema evenfold was not removed, because something that is not evenfold's needs it");
        assert!(output.err.contains(named), "{named}: {output:#?}");
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 1, "{theirs}");
        run(&mut conn, removed).await;
    }
    run_at(&db, &["uninstall", "--yes"]).fine();
}

/// The read model of another projection is its user's.
#[tokio::test(flavor = "multi_thread")]
async fn tables_outside_the_schema_stay_and_the_database_can_be_migrated_anew() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    run(
        &mut conn,
        "CREATE TABLE revenue AS SELECT 5 AS cents; CREATE SCHEMA other; CREATE TABLE other.events (id int)",
    )
    .await;
    schema::uninstall(&Schema::default(), &mut conn).await.unwrap();
    assert_eq!(scalar(&mut conn, "SELECT sum(cents)::bigint FROM revenue").await, 5);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM other.events").await, 0);
    run_at(&db, &["uninstall", "--yes"]).complains(1, "no evenfold tables in the schema evenfold");
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    append_one(&mut conn, "a", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_somebody_else_is_not_removed() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    run(&mut conn, "CREATE SCHEMA evenfold; CREATE TABLE evenfold.events (id int)").await;
    run_at(&db, &["uninstall", "--yes"]).complains(1, "not evenfold's (events)");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_has_appended_is_not_waited_for_without_end() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut tx = other.begin().await.unwrap();
    append_one(&mut tx, "a", 1).await;
    let refused = schema::uninstall(&Schema::default(), &mut conn).await;
    assert!(matches!(refused, Err(UninstallError::InUse(_))), "{refused:?}");
    tx.commit().await.unwrap();
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 1);
    schema::uninstall(&Schema::default(), &mut conn).await.unwrap();
}
