//! The status is read from the database alone, and is right when nobody is at work.

use crate::support::{Evenfold, SOON, Stepped, TestDb, append_one, event, ids_in, partition};
use evenfold::checkpoint::{ClassStatus, Status, Takeover, lag, status};
use evenfold::event::NewEvent;
use evenfold::log::{self, Interest};
use evenfold::projection::counters::NAME;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::Duration;

async fn look(conn: &mut PgConnection) -> Status {
    status(conn, NAME).await.unwrap()
}

fn class<'a>(status: &'a Status, name: &str) -> &'a ClassStatus {
    status.classes.iter().find(|class| class.class == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_each_class_has_not_applied_when_no_worker_runs() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    assert_eq!(look(&mut conn).await.total_partitions, None);
    let mut team = Stepped::team(&db, 2, 2).await;
    let (even, odd) = (&ids_in(partition(0, 2), 1)[0], &ids_in(partition(1, 2), 1)[0]);
    for _ in 0..5 {
        append_one(&mut conn, even, 1).await;
        append_one(&mut conn, odd, 1).await;
    }
    team[0].step().await;
    let bad = NewEvent::new("t", odd, "added", &json!({ "amount": "x" })).unwrap();
    log::append(&mut conn, &[bad]).await.unwrap();
    team[1].drain().await;
    team.clear();

    let told = look(&mut conn).await;
    assert_eq!((told.total_partitions, told.cover_complete, told.classes.len()), (Some(2), true, 2));
    let (even, odd) = (class(&told, "0/2"), class(&told, "1/2"));
    assert_eq!((even.behind, even.parked, even.heartbeat_seconds), (3, 0, None), "a window is open");
    assert!(even.behind_seconds > 0.0 && even.position < odd.position, "{told:#?}");
    assert_eq!((odd.behind, odd.parked, odd.owner.as_ref()), (0, 1, None));
    assert_eq!(told.oldest_append_open_seconds, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_of_every_class_of_a_change_that_is_half_done_and_of_the_number_that_was_replaced() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::team(&db, 2, 2).await;
    Stepped::start(&db, 0, 3, 2).await;
    append_one(&mut conn, "a", 1).await;
    let told = look(&mut conn).await;
    assert_eq!((told.total_partitions, told.cover_complete), (Some(3), true));
    assert_eq!(told.superseded.iter().map(|(total, _)| *total).collect::<Vec<_>>(), [2]);
    assert_eq!(told.classes.iter().map(|class| class.behind).sum::<u64>(), 1);
    // Each of the two rows was cut into its three cells, since both overlap the new partition.
    assert_eq!(told.classes.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_of_a_hole_in_the_cover() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    Stepped::team(&db, 3, 2).await;
    sqlx::raw_sql("DELETE FROM checkpoints WHERE residue = 1").execute(&mut conn).await.unwrap();
    assert!(!look(&mut conn).await.cover_complete);
    let shown = Evenfold::run(&["status", "--database-url", &db.url], "");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("3 partitions, cover INCOMPLETE"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_of_an_open_transaction_that_has_appended() {
    let db = TestDb::new().await;
    let (mut conn, mut writer) = (db.connect().await, db.connect().await);
    Stepped::start(&db, 0, 1, 2).await;
    let mut tx = writer.begin().await.unwrap();
    log::append(&mut tx, &[event("a", 1)]).await.unwrap();
    assert!(look(&mut conn).await.oldest_append_open_seconds.is_some_and(|seconds| seconds >= 0.0));
    tx.rollback().await.unwrap();
    assert_eq!(look(&mut conn).await.oldest_append_open_seconds, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lag_is_counted_up_to_100_000_positions_and_estimated_beyond() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let quarter = partition(1, 4);
    let mut worker = Stepped::new(&db, quarter, 10, Takeover::Now).await;
    worker.drain().await;
    append_one(&mut conn, &ids_in(quarter, 1)[0], 1).await;
    for (last, events) in [(100_000, 1), (400_000, 100_000)] {
        sqlx::query("SELECT setval('events_position_seq', $1)").bind(last).execute(&mut conn).await.unwrap();
        let lag = lag(&mut conn, NAME, quarter, &Interest::everything()).await.unwrap();
        assert_eq!(lag.events, events, "with {last} positions");
        assert!(lag.age > Duration::ZERO && lag.age < SOON, "the age is the event's: {:?}", lag.age);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_of_another_database_is_not_told_of() {
    // Made from one template, in which the table has the same number.
    let (db, other) = (TestDb::new().await, TestDb::new().await);
    let (mut conn, mut writer) = (db.connect().await, other.connect().await);
    Stepped::start(&db, 0, 1, 2).await;
    let mut tx = writer.begin().await.unwrap();
    log::append(&mut tx, &[event("a", 1)]).await.unwrap();
    assert_eq!(look(&mut conn).await.oldest_append_open_seconds, None);
}
