//! `evenfold index`: what it builds, lists and drops, and what it does about a build that failed.

use crate::support::cli::run_at;
use crate::support::{SOON, TestDb, append_one, drain, only_worker, wait_until};
use evenfold::schema::{IndexError, IndexState, Schema, create_index, indexes};
use sqlx::{Connection, PgConnection};

const NONE: &str = "there is no index by partition: workers read the whole log, and drop what is not theirs\n";

async fn is_first(conn: &mut PgConnection, state: IndexState) -> bool {
    indexes(&Schema::default(), conn).await.unwrap().first().is_some_and(|index| index.state == state)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_built_once_listed_and_dropped() {
    let db = TestDb::new().await;
    assert_eq!(run_at(&db, &["index"]).fine(), NONE);
    let built = "the index for 16 partitions is built: their workers use it from now on\n";
    assert_eq!(run_at(&db, &["index", "--total=16"]).fine(), built);
    assert_eq!(run_at(&db, &["index", "--total=16"]).fine(), "there is an index for 16 partitions already\n");
    run_at(&db, &["index", "--total=8"]).fine();
    let listed = run_at(&db, &["index"]);
    let lines: Vec<Vec<&str>> = listed.fine().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["partitions", "bytes", "state"]);
    assert_eq!([(lines[1][0], lines[1][2]), (lines[2][0], lines[2][2])], [("8", "ready"), ("16", "ready")]);
    let dropped = "the index for 16 partitions is dropped\n";
    assert_eq!(run_at(&db, &["index", "--total=16", "--drop"]).fine(), dropped);
    assert_eq!(run_at(&db, &["index", "--total=16", "--drop"]).fine(), "there is no index for 16 partitions\n");
    run_at(&db, &["index", "--total=8", "--drop"]).fine();
    assert_eq!(run_at(&db, &["index"]).fine(), NONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_needs_no_index_and_a_drop_of_nothing_are_refused() {
    let db = TestDb::new().await;
    run_at(&db, &["index", "--total=1"]).complains(2, "it must be a whole number from 2 to 65536");
    run_at(&db, &["index", "--drop"]).complains(2, "--total <N>");
    let error = create_index(&Schema::default(), &mut db.connect().await, 65_537).await.unwrap_err();
    assert!(matches!(error, IndexError::Total(65_537)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_built_events_are_appended_and_applied_and_nobody_else_builds() {
    let db = TestDb::new().await;
    let (mut conn, mut open, mut builder) = (db.connect().await, db.connect().await, db.connect().await);
    let mut worker = only_worker(&mut conn, 10).await;
    // A build waits for whoever has written before.
    let mut tx = open.begin().await.unwrap();
    append_one(&mut tx, "a", 1).await;
    let build = tokio::spawn(async move { create_index(&Schema::default(), &mut builder, 4).await });
    wait_until("the build waits", SOON, async || is_first(&mut conn, IndexState::Building).await).await;
    append_one(&mut conn, "b", 1).await;
    assert_eq!(drain(&mut worker, &mut conn).await, 1);
    assert!(matches!(create_index(&Schema::default(), &mut conn, 8).await, Err(IndexError::Busy)));
    run_at(&db, &["index", "--total=4", "--drop"]).complains(1, "built or dropped by somebody else: wait");
    assert!(run_at(&db, &["index"]).fine().contains("being built"));
    tx.commit().await.unwrap();
    assert!(build.await.unwrap().unwrap());
    assert_eq!(indexes(&Schema::default(), &mut conn).await.unwrap()[0].state, IndexState::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_failed_is_reported_and_replaced() {
    let db = TestDb::new().await;
    let (mut conn, mut open, mut builder) = (db.connect().await, db.connect().await, db.connect().await);
    let mut tx = open.begin().await.unwrap();
    append_one(&mut tx, "a", 1).await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut builder).await.unwrap();
    let build = tokio::spawn(async move { create_index(&Schema::default(), &mut builder, 4).await });
    wait_until("the build waits", SOON, async || is_first(&mut conn, IndexState::Building).await).await;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut conn).await.unwrap();
    assert!(matches!(build.await.unwrap(), Err(IndexError::Database(_))));
    wait_until("the build is over", SOON, async || is_first(&mut conn, IndexState::Failed).await).await;
    assert!(run_at(&db, &["index"]).fine().contains("failed: run evenfold index --total 4 again"));
    tx.commit().await.unwrap();
    assert!(create_index(&Schema::default(), &mut conn, 4).await.unwrap());
    assert_eq!(indexes(&Schema::default(), &mut conn).await.unwrap()[0].state, IndexState::Ready);
}
