//! A worker that is far behind reads on a second connection while it applies, and commits ever more at once.

use crate::support::{
    SOON, TestDb, append_one, assert_all_applied_once, assert_counters_agree, drain, event, partition, scalar,
    wait_until, worker_of,
};
use evenfold::counters::Counters;
use evenfold::event::NewEvent;
use evenfold::log;
use evenfold::projection::{Applied, Step, Worker};
use serde_json::json;
use sqlx::PgConnection;

const AHEAD: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'evenfold % ahead'";
const END_AHEAD: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'evenfold % ahead'";

/// Events of 20 aggregates, in transactions of 50, and a worker that has registered.
async fn far_behind(db: &TestDb, conn: &mut PgConnection, batch_size: usize) -> Worker<Counters> {
    for _ in 0..20 {
        let events: Vec<_> = (0..50).map(|n| event(&format!("a{}", n % 20), 1)).collect();
        log::append(conn, &events).await.unwrap();
    }
    let mut worker = worker_of(partition(0, 1), batch_size).reading_ahead(&db.database.by_index());
    worker.register(conn).await.unwrap();
    worker
}

async fn applied(worker: &mut Worker<Counters>, conn: &mut PgConnection) -> u64 {
    match worker.step(conn).await.unwrap() {
        Step::Applied(Applied { events, .. }) => events,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_as_large_as_they_may_be_while_a_worker_is_far_behind_and_nothing_is_sent_twice() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut worker = far_behind(&db, &mut conn, 320).await;
    let mut sizes = Vec::new();
    while sizes.iter().sum::<u64>() < 1_000 {
        sizes.push(applied(&mut worker, &mut conn).await);
        let committed = scalar(&mut other, "SELECT sum(events)::bigint FROM evenfold.counters").await;
        assert_eq!(
            committed.unsigned_abs(),
            sizes.iter().sum::<u64>(),
            "what a step has applied is written: {sizes:?}"
        );
    }
    assert_eq!(sizes, [40, 320, 320, 320]);
    assert_eq!(worker.progress().received(), 1_000);
    assert_eq!(drain(&mut worker, &mut conn).await, 0);
    append_one(&mut conn, "a0", 1).await;
    assert_eq!(applied(&mut worker, &mut conn).await, 1);
    wait_until("the second connection to end", SOON, async || scalar(&mut other, AHEAD).await == 0).await;
    assert_all_applied_once(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_second_connection_is_lost_goes_on_with_one() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut worker = far_behind(&db, &mut conn, 160).await;
    assert_eq!(applied(&mut worker, &mut conn).await, 20);
    wait_until("the second connection", SOON, async || scalar(&mut other, AHEAD).await == 1).await;
    assert_eq!(scalar(&mut other, END_AHEAD).await, 1);
    assert_eq!(drain(&mut worker, &mut conn).await, 980);
    assert_all_applied_once(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_ahead_is_dropped_when_another_worker_was_faster() {
    let db = TestDb::new().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    let mut slow = far_behind(&db, &mut conn, 160).await;
    assert_eq!(applied(&mut slow, &mut conn).await, 20);
    let mut fast = worker_of(partition(0, 1), 100);
    assert_eq!(drain(&mut fast, &mut other).await, 980);
    assert_eq!(slow.step(&mut conn).await.unwrap(), Step::Outrun);
    append_one(&mut other, "a0", 1).await;
    wait_until("the slow one to take over", SOON, async || drain(&mut slow, &mut conn).await == 1).await;
    assert_all_applied_once(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_that_is_parked_in_a_transaction_of_several_chunks_stays_parked_in_the_later_ones() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let before: Vec<_> = (0..80).map(|n| event(&format!("a{}", n % 20), 1)).collect();
    log::append(&mut conn, &before).await.unwrap();
    // In the second chunk of the second transaction; those before it and next to it are fine.
    let bad = NewEvent::new("t", "a1", "added", &json!({ "amount": "many" })).unwrap();
    assert_eq!(log::append(&mut conn, &[bad]).await.unwrap()[0].position, 81);
    let mut worker = far_behind(&db, &mut conn, 320).await;
    let waiting =
        scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE aggregate_id = 'a1' AND position >= 81").await;
    assert_eq!(drain(&mut worker, &mut conn).await, 1_081 - waiting.unsigned_abs());
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, waiting);
    assert_counters_agree(&mut conn).await;
}
