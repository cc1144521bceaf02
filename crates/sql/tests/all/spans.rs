//! Batches that a worker which is far behind applies without reading them.

use crate::fold::{append_all, event, fold, projection, rows};
use evenfold::projection::parked::RetryAll;
use evenfold::projection::{Applied, Step};
use evenfold::{Class, NewEvent, Schema, Worker, WorkerOptions, append};
use evenfold_sql::SqlProjection;
use evenfold_testkit::{TestDb, scalar};
use serde_json::json;
use sqlx::{Connection, PgConnection};

/// Counts, and whether each event was applied without having been read.
const COUNTED: &str = "-- create
CREATE TABLE counted (id text PRIMARY KEY, n bigint NOT NULL, last bigint NOT NULL, unread bigint NOT NULL);
-- apply
INSERT INTO counted AS t SELECT aggregate_id, count(*), max(version), count(*) FILTER (WHERE
    current_setting('evenfold_batch.view') LIKE '%evenfold_batch.after%') FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n, last = excluded.last, unread = t.unread + excluded.unread";

fn counted() -> SqlProjection {
    projection("counted", COUNTED)
}

fn added(id: &str) -> NewEvent {
    event(id, "added", &json!({"amount": 1}))
}

fn many(count: usize) -> Vec<NewEvent> {
    (0..count).map(|n| added(&format!("a{}", n % 7))).collect()
}

/// As another writer may: with whatever version and hash.
async fn write(conn: &mut PgConnection, id: &str, version: i64, hash: Option<i64>) {
    let sql = "INSERT INTO evenfold.events (aggregate_type, aggregate_id, version, event_type, payload, hash)
               VALUES ('order', $1, $2, 'added', '{}', coalesce($3, evenfold.hash($1)))";
    sqlx::query(sql).bind(id).bind(version).bind(hash).execute(conn).await.unwrap();
}

async fn parked(conn: &mut PgConnection) -> Vec<String> {
    rows(conn, "SELECT aggregate_id, version, reason FROM evenfold.parked_events").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_far_behind_applies_what_it_has_not_read_and_then_reads_the_few_that_are_left() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_all(&mut conn, &many(2_500)).await;
    fold(&db, &counted(), 1, 1_000).await.unwrap();
    assert_eq!(rows(&mut conn, "SELECT sum(n), sum(unread) FROM counted").await, ["(2500,2000)"]);
    append_all(&mut conn, &many(10)).await;
    fold(&db, &counted(), 1, 1_000).await.unwrap();
    assert_eq!(rows(&mut conn, "SELECT sum(n), sum(unread) FROM counted").await, ["(2510,2000)"]);
}

/// The window that a killed worker has left open ends before what was appended since.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_ended_the_window_of_another_has_not_caught_up() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_all(&mut conn, &many(200)).await;
    let mut killed = Worker::new(Class::partition(0, 1).unwrap(), counted(), WorkerOptions::default().batch_size(100));
    let mut session = db.connect().await;
    killed.register(&mut session).await.unwrap();
    assert!(matches!(killed.step(&mut session).await.unwrap(), Step::Applied(Applied { events: 100, .. })));
    append_all(&mut conn, &many(70)).await;
    fold(&db, &counted(), 1, 100).await.unwrap();
    assert_eq!(rows(&mut conn, "SELECT sum(n), sum(unread) FROM counted").await, ["(270,200)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_second_connection_is_lost_applies_the_same_span_with_one() {
    let db = TestDb::new().await;
    let (mut conn, mut session) = (db.connect().await, db.connect().await);
    append_all(&mut conn, &many(300)).await;
    let options = WorkerOptions::default().batch_size(100);
    let mut worker =
        Worker::new(Class::partition(0, 1).unwrap(), counted(), options).reading_ahead(&db.database.by_index());
    worker.register(&mut session).await.unwrap();
    let is_a_span = |step| matches!(step, Step::Applied(Applied { events: 100, .. }));
    assert!(is_a_span(worker.step(&mut session).await.unwrap()));
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'evenfold counted 0/1 ahead'";
    assert_eq!(scalar(&mut conn, ended).await, 1);
    assert_eq!(worker.step(&mut session).await.unwrap(), Step::Converged);
    assert!(is_a_span(worker.step(&mut session).await.unwrap()));
    assert!(is_a_span(worker.step(&mut session).await.unwrap()));
    assert_eq!(rows(&mut conn, "SELECT sum(n), sum(unread) FROM counted").await, ["(300,300)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_commit_late_are_applied_once_and_before_those_that_were_not_read() {
    let db = TestDb::new().await;
    let (mut conn, mut slow, mut slower) = (db.connect().await, db.connect().await, db.connect().await);
    let (mut early, mut earlier) = (slow.begin().await.unwrap(), slower.begin().await.unwrap());
    append(&mut early, &[added("late")]).await.unwrap();
    append_all(&mut conn, &many(300)).await;
    append(&mut earlier, &[added("later")]).await.unwrap();
    append_all(&mut conn, &many(300)).await;
    fold(&db, &counted(), 2, 100).await.unwrap();
    assert_eq!(scalar(&mut conn, "SELECT sum(n)::bigint FROM counted").await, 600);
    early.commit().await.unwrap();
    append_all(&mut conn, &many(300)).await;
    append_all(&mut conn, &[added("late")]).await;
    fold(&db, &counted(), 2, 100).await.unwrap();
    earlier.commit().await.unwrap();
    append_all(&mut conn, &[added("later")]).await;
    append_all(&mut conn, &many(300)).await;
    fold(&db, &counted(), 1, 100).await.unwrap();
    let all = "SELECT count(*) FROM evenfold.events";
    assert_eq!(scalar(&mut conn, "SELECT sum(n)::bigint FROM counted").await, scalar(&mut conn, all).await);
    assert_eq!(
        rows(&mut conn, "SELECT id, n, last FROM counted WHERE id LIKE 'late%'").await,
        ["(late,2,2)", "(later,2,2)"]
    );
    assert_eq!(parked(&mut conn).await, [""; 0]);
    assert!(scalar(&mut conn, "SELECT sum(unread)::bigint FROM counted").await > 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_comes_before_the_one_before_it_parks_its_aggregate_in_batches_of_any_kind() {
    for batch_size in [1, 2, 50, 1_000] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        append_all(&mut conn, &many(100)).await;
        write(&mut conn, "gap", 1, None).await;
        write(&mut conn, "gap", 3, None).await;
        append_all(&mut conn, &many(100)).await;
        write(&mut conn, "first", 2, None).await;
        append_all(&mut conn, &many(100)).await;
        fold(&db, &counted(), 2, batch_size).await.unwrap();
        let early = "\"version 3 comes before version 2 of its aggregate\"";
        let first = "\"version 2 comes before version 1 of its aggregate\"";
        let expected = [format!("(first,2,{first})"), format!("(gap,3,{early})")];
        assert_eq!(parked(&mut conn).await, expected, "{batch_size}");
        assert_eq!(scalar(&mut conn, "SELECT sum(n)::bigint FROM counted").await, 301);
        write(&mut conn, "gap", 2, None).await;
        fold(&db, &counted(), 2, batch_size).await.unwrap();
        let mut all = RetryAll::default();
        while all.next(&Schema::default(), &mut conn, &mut counted()).await.unwrap().is_some() {}
        assert_eq!(parked(&mut conn).await, expected[..1], "{batch_size}");
        assert_eq!(rows(&mut conn, "SELECT n, last FROM counted WHERE id = 'gap'").await, ["(3,3)"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_follows_one_that_the_projection_does_not_want() {
    for batch_size in [2, 1_000] {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        for n in 0..100 {
            let id = format!("a{n}");
            let all = ["placed", "added", "seen", "added"].map(|kind| event(&id, kind, &json!({})));
            append_all(&mut conn, &all).await;
        }
        let counted = projection("counted", &format!("-- events: added\n{COUNTED}"));
        fold(&db, &counted, 2, batch_size).await.unwrap();
        assert_eq!(parked(&mut conn).await, [""; 0]);
        assert_eq!(rows(&mut conn, "SELECT DISTINCT n, last FROM counted").await, ["(2,4)"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_hash_among_events_that_are_not_read_parks_its_aggregate() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_all(&mut conn, &many(100)).await;
    write(&mut conn, "wrong", 1, Some(7)).await;
    append_all(&mut conn, &many(100)).await;
    fold(&db, &counted(), 1, 50).await.unwrap();
    let waiting = parked(&mut conn).await;
    assert!(waiting.len() == 1 && waiting[0].contains("its hash is 7"), "{waiting:?}");
    assert_eq!(rows(&mut conn, "SELECT sum(n), sum(unread) > 0 FROM counted").await, ["(200,t)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_with_any_characters_choose_the_events_that_are_not_read() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let odd = [r"it's \ odd", "evenfold.events", "$1"];
    for n in 0..300 {
        append_all(&mut conn, &[event(&format!("a{n}"), odd[n % 3], &json!({}))]).await;
    }
    for (name, kind) in odd.iter().enumerate() {
        let text = COUNTED.replace("counted", &format!("counted{name}"));
        fold(&db, &projection(&format!("counted{name}"), &format!("-- events: {kind}\n{text}")), 1, 50).await.unwrap();
        let sql = format!("SELECT count(*), sum(unread) > 0 FROM counted{name}");
        assert_eq!(rows(&mut conn, &sql).await, ["(100,t)"], "{kind}");
    }
}
