//! An error that passes is waited for, and one that does not ends the worker: neither parks an event.

use crate::fold::{append_all, event, fold, projection, rows};
use evenfold::projection::Step;
use evenfold::{Class, Worker, WorkerOptions};
use evenfold_testkit::{SOON, TestDb, scalar, wait_until};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const COUNTED: &str = "-- create
CREATE TABLE counted (id text PRIMARY KEY, n bigint NOT NULL, alone boolean NOT NULL DEFAULT false);
-- apply
INSERT INTO counted AS t (id, n) SELECT aggregate_id, count(*) FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n";

/// Has the next inserts fail with this SQLSTATE, so many in a row: what a sequence has handed out is not rolled back.
/// The row that is inserted in the end says whether its transaction had an advisory lock.
async fn fail(conn: &mut PgConnection, code: &str, times: u32) {
    let sql = format!(
        "CREATE SEQUENCE IF NOT EXISTS tries; ALTER SEQUENCE tries RESTART;
         CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('tries') <= {times} THEN RAISE 'it is as it is' USING ERRCODE = '{code}'; END IF;
             NEW.alone := EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid());
             RETURN NEW;
         END $$;
         DROP TRIGGER IF EXISTS fail ON counted;
         CREATE TRIGGER fail BEFORE INSERT ON counted FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_passes_is_tried_again_until_it_has_passed() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let counted = projection("counted", COUNTED);
    fold(&db, &counted, 1, 10).await.unwrap();
    for code in ["40001", "40P01", "55P03", "53200", "57014", "58030", "08006"] {
        fail(&mut conn, code, 2).await;
        append_all(&mut conn, &[event(code, "added", &json!({}))]).await;
        fold(&db, &counted, 1, 10).await.unwrap();
        let sql = format!("SELECT n, alone FROM counted WHERE id = '{code}'");
        assert_eq!(rows(&mut conn, &sql).await, ["(1,f)"], "{code}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
}

/// The worker has the row a and waits for b; whoever has b waits for a. It is the worker that PostgreSQL ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_rolls_the_batch_back_and_has_it_tried_again_at_once() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let counted = projection("counted", COUNTED);
    append_all(&mut conn, &[event("a", "added", &json!({})), event("b", "added", &json!({}))]).await;
    fold(&db, &counted, 1, 10).await.unwrap();
    append_all(&mut conn, &[event("a", "added", &json!({})), event("b", "added", &json!({}))]).await;
    sqlx::raw_sql("SET deadlock_timeout = '1h'").execute(&mut other).await.unwrap();
    let mut tx = other.begin().await.unwrap();
    sqlx::raw_sql("UPDATE counted SET n = n + 100 WHERE id = 'b'").execute(&mut *tx).await.unwrap();
    let mut session = db.connect().await;
    let mut worker = Worker::new(Class::partition(0, 1).unwrap(), counted, WorkerOptions::default());
    worker.register(&mut session).await.unwrap();
    let steps = tokio::spawn(async move {
        // An error would end it here: a worker that runs would pause after it.
        while worker.step(&mut session).await.unwrap() != Step::CaughtUp {}
    });
    wait_until("the worker to wait for b", SOON, async || {
        scalar(&mut conn, "SELECT count(*) FROM pg_locks WHERE NOT granted").await == 1
    })
    .await;
    sqlx::raw_sql("UPDATE counted SET n = n + 100 WHERE id = 'a'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    steps.await.unwrap();
    assert_eq!(rows(&mut conn, "SELECT id, n FROM counted").await, ["(a,102)", "(b,102)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_three_circles_of_locks_the_partitions_take_turns() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let counted = projection("counted", COUNTED);
    fold(&db, &counted, 1, 10).await.unwrap();
    fail(&mut conn, "40P01", 3).await;
    append_all(&mut conn, &[event("a", "added", &json!({}))]).await;
    fold(&db, &counted, 1, 10).await.unwrap();
    assert_eq!(rows(&mut conn, "SELECT * FROM counted").await, ["(a,1,t)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_neither_an_events_fault_nor_passes_ends_the_worker() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let counted = projection("counted", COUNTED);
    fold(&db, &counted, 1, 10).await.unwrap();
    append_all(&mut conn, &[event("a", "added", &json!({}))]).await;
    for code in ["42501", "42703", "0A000", "25006", "XX000", "54001"] {
        fail(&mut conn, code, 1).await;
        let ended = fold(&db, &counted, 1, 10).await.unwrap_err();
        assert!(ended.is_final() && ended.to_string().contains("it is as it is"), "{code}: {ended}");
        assert!(ended.to_string().contains("projections/counted.sql:4:1:"), "{ended}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    fold(&db, &counted, 1, 10).await.unwrap();
    assert_eq!(rows(&mut conn, "SELECT id, n FROM counted").await, ["(a,1)"]);
}
