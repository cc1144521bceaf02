//! Reading one aggregate, to decide on what is appended to it.

use crate::support::{TestDb, append_one, event};
use evenfold::{
    Aggregate, AppendError, LoadError, Log, NewEvent, RecordedEvent, Schema, Version, append, load, migrate,
};
use sqlx::{Connection, PgConnection};

async fn versions(conn: &mut PgConnection, id: &str, after: i64) -> Vec<i64> {
    let mut history = load(conn, &Aggregate::new("t", id), Version::new(after));
    let mut versions = Vec::new();
    while let Some(event) = history.next().await.unwrap() {
        versions.push(event.version.get());
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregates_events_come_in_the_order_of_their_versions_after_the_one_that_is_given() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 0..5 {
        append_one(&mut conn, "a", n).await;
        append_one(&mut conn, "b", n).await;
    }
    assert_eq!(versions(&mut conn, "a", 0).await, [1, 2, 3, 4, 5]);
    assert_eq!(versions(&mut conn, "a", 3).await, [4, 5]);
    assert_eq!(versions(&mut conn, "a", 5).await, [0; 0]);
    assert_eq!(versions(&mut conn, "nobody", 0).await, [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_comes_back_with_all_that_it_was_appended_with() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let order = Aggregate::new("order", "4711 Ü");
    let new =
        NewEvent::of(order.clone(), "order-placed", &serde_json::json!({ "cents": 5, "of": "\u{1F600}" })).unwrap();
    let new = new.with_metadata(&serde_json::json!({ "by": "ada" })).unwrap();
    let appended = append(&mut conn, std::slice::from_ref(&new)).await.unwrap()[0];
    let event = load(&mut conn, &order, Version::NONE).next().await.unwrap().unwrap();
    let recorded_at = event.recorded_at();
    let expected: RecordedEvent =
        new.with_recorded_at(recorded_at).unwrap().recorded(appended.position, appended.version);
    assert_eq!(event, expected);
    assert!(recorded_at.elapsed().unwrap().as_secs() < 60, "{recorded_at:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_reads_its_own_events_and_none_that_are_not_committed_elsewhere() {
    let db = TestDb::new().await;
    let (mut one, mut other) = (db.connect().await, db.connect().await);
    let mut tx = one.begin().await.unwrap();
    append(&mut tx, &[event("a", 1)]).await.unwrap();
    assert_eq!(versions(&mut tx, "a", 0).await, [1]);
    assert_eq!(versions(&mut other, "a", 0).await, [0; 0]);
    tx.commit().await.unwrap();
    assert_eq!(versions(&mut other, "a", 0).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_appends_with_what_was_read_meanwhile_makes_the_other_a_conflict() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    let read = *versions(&mut conn, "a", 0).await.last().unwrap();
    append_one(&mut db.connect().await, "a", 1).await;
    let late = append(&mut conn, &[event("a", 1).expecting(Version::new(read))]).await;
    assert!(matches!(&late, Err(AppendError::Conflict { expected, actual, .. }) if *expected == 1 && *actual == 2));
    assert_eq!(versions(&mut conn, "a", 0).await, [1, 2], "nothing was appended");
}

/// Also of a history that is larger than what is sent at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_not_read_to_its_end_leaves_the_connection_usable() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let large = "x".repeat(10_000);
    let events: Vec<_> = (0..1_000).map(|_| NewEvent::new("t", "a", "e", &large).unwrap()).collect();
    append(&mut conn, &events).await.unwrap();
    let mut history = load(&mut conn, &Aggregate::new("t", "a"), Version::NONE);
    assert_eq!(history.next().await.unwrap().unwrap().version, 1);
    drop(history);
    assert_eq!(versions(&mut conn, "a", 997).await, [998, 999, 1_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_is_named_and_not_read() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    let insert = "ALTER TABLE evenfold.events DISABLE TRIGGER events_place;
         INSERT INTO evenfold.events (xid, position, version, hash, aggregate_type, aggregate_id, event_type, payload)
         VALUES (pg_current_xact_id(), nextval('evenfold.events_position_seq'), 2, evenfold.hash('a'), 't', 'a', 'e',
                 to_json(repeat('x', 1048576)))";
    sqlx::raw_sql(insert).execute(&mut conn).await.unwrap();
    let mut history = load(&mut conn, &Aggregate::new("t", "a"), Version::NONE);
    assert_eq!(history.next().await.unwrap().unwrap().version, 1);
    let error = history.next().await.unwrap_err();
    assert!(matches!(&error, LoadError::TooLarge { version, .. } if *version == 2), "{error}");
    assert!(error.to_string().contains("(t/a, version 2) is larger"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_another_schema_is_another_log() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let schema = Schema::named("orders").unwrap();
    migrate(&schema, &mut conn).await.unwrap();
    let orders = Log::in_schema(schema);
    orders.append(&mut conn, &[event("a", 1), event("a", 2)]).await.unwrap();
    assert_eq!(versions(&mut conn, "a", 0).await, [0; 0]);
    let mut history = orders.load(&mut conn, &Aggregate::new("t", "a"), Version::new(1));
    assert_eq!(history.next().await.unwrap().unwrap().version, 2);
    assert!(history.next().await.unwrap().is_none());
}
