//! What the relation `batch` is to the statements of a file.

use crate::fold::{append_all, event, fold, projection, rows};
use evenfold::{Log, Schema, migrate};
use evenfold_testkit::{TestDb, scalar};
use serde_json::json;

/// With that of the log no index of an ordinary key could be used.
#[tokio::test(flavor = "multi_thread")]
async fn the_texts_of_a_batch_have_the_collation_of_the_database() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_all(&mut conn, &[event("a", "added", &json!({"amount": 7}))]).await;
    let text = "-- create\nCREATE TABLE own (id text PRIMARY KEY, collations text[], amount bigint);
        \n-- apply\nINSERT INTO own SELECT aggregate_id, ARRAY[pg_collation_for(aggregate_type),
            pg_collation_for(aggregate_id), pg_collation_for(event_type)], (payload ->> 'amount')::bigint FROM batch";
    fold(&db, &projection("own", text), 1, 10).await.unwrap();
    let defaults =
        "SELECT count(*) FROM own WHERE collations = '{\"\\\"default\\\"\",\"\\\"default\\\"\",\"\\\"default\\\"\"}'";
    assert_eq!(scalar(&mut conn, defaults).await, 1, "{:?}", rows(&mut conn, "SELECT * FROM own").await);
}

/// Where an event is parked, the others are read. While it is far behind, a worker's transaction then has several
/// batches, and each has its own events only.
#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_in_one_batch_also_where_a_transaction_has_several() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append_all(&mut conn, &[event("bad", "added", &json!({"by": 0}))]).await;
    let events: Vec<_> = (0..500).map(|n| event(&format!("a{}", n % 7), "added", &json!({"by": 1}))).collect();
    append_all(&mut conn, &events).await;
    let text = "-- create
        CREATE TABLE own (id bigint PRIMARY KEY, events bigint, transactions xid8[], batches bigint);
        \n-- apply\nINSERT INTO own AS t SELECT 1, sum(1 / (payload ->> 'by')::int), ARRAY[pg_current_xact_id()], 1 FROM batch
        ON CONFLICT (id) DO UPDATE SET events = t.events + excluded.events, batches = t.batches + 1,
            transactions = array_remove(t.transactions, pg_current_xact_id()) || excluded.transactions";
    fold(&db, &projection("own", text), 1, 64).await.unwrap();
    assert_eq!(scalar(&mut conn, "SELECT events FROM own").await, 500);
    let several = scalar(&mut conn, "SELECT batches - cardinality(transactions) FROM own").await;
    assert!(several > 0, "no transaction had several batches: {:?}", rows(&mut conn, "SELECT * FROM own").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_another_schema_is_folded_and_its_bad_events_parked_there() {
    let mut db = TestDb::empty().await;
    let (mut conn, schema) = (db.connect().await, Schema::named("order").unwrap());
    migrate(&schema, &mut conn).await.unwrap();
    db.database = db.database.in_schema(schema.clone());
    let events = [event("a", "added", &json!({"amount": 7})), event("b", "added", &json!({"amount": "x"}))];
    Log::in_schema(schema).append(&mut conn, &events).await.unwrap();
    let text = "-- create\nCREATE TABLE own (id text PRIMARY KEY, amount bigint);
        \n-- apply\nINSERT INTO own SELECT aggregate_id, (payload ->> 'amount')::bigint FROM batch";
    fold(&db, &projection("own", text), 2, 10).await.unwrap();
    assert_eq!(rows(&mut conn, "SELECT * FROM own").await, ["(a,7)"]);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM \"order\".parked_events").await, 1);
}
