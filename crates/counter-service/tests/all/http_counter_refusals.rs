//! What the counter service refuses, and with which code.

use crate::support::{Client, Counting, SOON, TestDb, wait_until};
use evenfold::database::Database;
use evenfold::event::NewEvent;
use evenfold::log;
use evenfold_counter_service::http::ServiceOptions;
use evenfold_counter_service::{Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use evenfold_http::Limits;
use serde_json::json;
use sqlx::Connection;
use std::time::Duration;

const INCREMENT: &str = "/counter/a/increment";

async fn with_node(node: NodeOptions) -> Counting {
    Counting::volatile(1, node, ServiceOptions::default(), Limits::default()).await
}

async fn durable(database: Database) -> Counting {
    durable_with(NodeOptions::default(), database).await
}

async fn durable_with(options: NodeOptions, database: Database) -> Counting {
    let node = Node::start(options, Storage::Durable(database), &ProcessGroups::default()).await.unwrap();
    Counting::serving(vec![node], ServiceOptions::default(), Limits::default()).await
}

/// Requests that can't be answered time out soon.
fn soon() -> NodeOptions {
    NodeOptions::default().request_timeout(Duration::from_millis(200))
}

async fn with_key(client: &mut Client, path: &str, key: &str, body: &str) -> crate::support::HttpReply {
    client.ask("POST", path, &[("idempotency-key", key)], body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_is_answered_with_a_code_and_counts_nothing() {
    let served = Counting::plain().await;
    let mut client = served.client().await;
    for (method, path, body, status, code) in [
        ("POST", INCREMENT, "{", 400, "malformed_json"),
        ("POST", INCREMENT, "amount=5", 400, "malformed_json"),
        ("POST", INCREMENT, "[5]", 422, "invalid_body"),
        ("POST", INCREMENT, r#"{"by":5}"#, 422, "invalid_body"),
        ("POST", INCREMENT, r#"{"amount":0}"#, 422, "invalid_amount"),
        ("POST", INCREMENT, r#"{"amount":1.5}"#, 422, "invalid_amount"),
        ("POST", INCREMENT, r#"{"amount":9223372036854775808}"#, 422, "invalid_amount"),
        ("POST", "/counter//increment", "", 400, "invalid_id"),
        ("POST", "/counter/%zz/increment", "", 400, "invalid_id"),
        ("GET", "/counter/", "", 400, "invalid_id"),
        ("GET", "/counter/%FF", "", 400, "invalid_id"),
        ("GET", "/counter/a%0Ab", "", 400, "invalid_id"),
        ("GET", "/counters?top=0", "", 400, "invalid_query"),
        ("GET", "/counters?top=1001", "", 400, "invalid_query"),
        ("GET", "/counters?top=1&top=1", "", 400, "invalid_query"),
        ("GET", "//", "", 404, "unknown_path"),
        ("GET", "/metrics", "", 404, "unknown_path"),
        ("GET", "/counter/a/b", "", 404, "unknown_path"),
        ("POST", "/counter/a/b/increment", "", 404, "unknown_path"),
        ("GET", INCREMENT, "", 405, "method_not_allowed"),
        ("POST", "/counter/a", "", 405, "method_not_allowed"),
        ("DELETE", "/counter/a", "", 405, "method_not_allowed"),
        ("POST", "/counters", "", 405, "method_not_allowed"),
        ("POST", "/counter/a/watch", "", 405, "method_not_allowed"),
    ] {
        let refused = client.ask(method, path, &[], body).await;
        assert_eq!(refused.code(), (status, code.to_owned()), "{method} {path} {body}");
        assert_eq!(refused.header("allow").is_some(), status == 405, "{method} {path}");
    }
    assert_eq!(client.get("/counter/a").await.json()["version"], 0);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_that_does_not_fit_is_refused_and_the_value_stays() {
    let served = Counting::plain().await;
    let mut client = served.client().await;
    client.post(INCREMENT, r#"{"amount":9223372036854775807}"#).await;
    assert_eq!(client.post(INCREMENT, "").await.code(), (422, "overflow".to_owned()));
    assert_eq!(client.get("/counter/a").await.json()["value"], i64::MAX);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_is_answered_alike_and_a_reused_one_refused() {
    let db = TestDb::new().await;
    let served = durable(db.database.clone()).await;
    let mut client = served.client().await;
    let first = with_key(&mut client, INCREMENT, "order-1", r#"{"amount":5}"#).await;
    assert_eq!((first.status, &first.json()["value"]), (200, &json!(5)));
    client.post(INCREMENT, "").await;
    assert_eq!(with_key(&mut client, INCREMENT, "order-1", r#"{"amount": 5}"#).await.body, first.body);
    for (path, body) in [(INCREMENT, ""), ("/counter/b/increment", r#"{"amount":5}"#)] {
        let reused = with_key(&mut client, path, "order-1", body).await;
        assert_eq!(reused.code(), (422, "key_reused".to_owned()), "{path} {body}");
    }
    let long = "x".repeat(256);
    for wrong in ["", "a b", &long, "ä"] {
        let refused = with_key(&mut client, INCREMENT, wrong, "").await;
        assert_eq!(refused.code(), (400, "invalid_idempotency_key".to_owned()), "{wrong}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "a")];
    let refused = client.ask("POST", INCREMENT, &twice, "").await;
    assert_eq!(refused.code(), (400, "invalid_idempotency_key".to_owned()));
    assert_eq!(client.get("/counter/a").await.json(), json!({"counter_id": "a", "value": 6, "version": 2}));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_log_a_key_is_refused() {
    let served = Counting::plain().await;
    let refused = with_key(&mut served.client().await, INCREMENT, "order-1", "").await;
    assert_eq!(refused.code(), (400, "keys_need_the_log".to_owned()));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_with_an_event_that_can_not_be_applied_is_reported() {
    let db = TestDb::new().await;
    let bad = NewEvent::new("counter", "a", "added", &json!({ "amount": "ten" })).unwrap();
    log::append(&mut db.connect().await, &[bad]).await.unwrap();
    let served = durable(db.database.clone()).await;
    let mut client = served.client().await;
    assert_eq!(client.post(INCREMENT, "").await.code(), (409, "parked".to_owned()));
    assert_eq!(client.get("/counter/a").await.code(), (409, "parked".to_owned()));
    assert_eq!(client.get("/counter/a/watch").await.code(), (409, "parked".to_owned()));
    assert_eq!(client.post("/counter/b/increment", "").await.status, 200, "others go on");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_nothing_is_counted_and_it_is_worth_trying_again() {
    let nowhere = Database::at("postgres://nobody@127.0.0.1:1/none").unwrap();
    let served = durable_with(soon(), nowhere).await;
    let mut client = served.client().await;
    for (method, path) in [("POST", INCREMENT), ("GET", "/counter/a"), ("GET", "/counter/a/watch")] {
        let refused = client.ask(method, path, &[], "").await;
        let (status, code) = refused.code();
        assert!(status == 503 && ["unavailable", "timed_out"].contains(&&*code), "{method} {path}: {refused:?}");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_there_are_as_many_counters_as_may_be() {
    let served = with_node(NodeOptions::default().shards(1).max_actors(1)).await;
    let mut client = served.client().await;
    assert_eq!(client.post(INCREMENT, "").await.status, 200);
    assert_eq!(client.post("/counter/b/increment", "").await.code(), (507, "full".to_owned()));
    assert_eq!(client.post(INCREMENT, "").await.json()["value"], 2);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_increment_that_is_not_committed_in_time_is_answered_as_not_known() {
    let db = TestDb::new().await;
    // Enough for the first one to be committed on a busy machine, and less than the database waits for a lock, which is
    // an answer: it is not counted then.
    let options = NodeOptions::default().request_timeout(Duration::from_secs(1));
    let served = durable_with(options, db.database.clone()).await;
    wait_until("its first connection", SOON, async || served.nodes[0].is_ready().is_ok()).await;
    let mut client = served.client().await;
    assert_eq!(client.post(INCREMENT, "").await.status, 200);
    let mut holder = db.connect().await;
    let mut transaction = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE evenfold.events IN SHARE MODE").execute(&mut *transaction).await.unwrap();
    let late = client.post(INCREMENT, "").await;
    assert_eq!((late.code(), late.header("retry-after")), ((503, "timed_out".to_owned()), Some("1")));
    transaction.rollback().await.unwrap();
    served.end().await;
}

/// One thread: what several clients have sent is all taken before the shard gets its turn.
#[tokio::test]
async fn a_shard_for_which_enough_waits_refuses_more_counts_nothing_of_it_and_recovers() {
    const CLIENTS: usize = 20;
    let served = with_node(NodeOptions::default().shards(1).max_waiting(3)).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = served.client().await;
        assert_eq!(client.get("/readyz").await.status, 200);
        clients.push(client);
    }
    // A list is the actor's to make; until it has its turn, what comes waits.
    let mut occupying = served.client().await;
    assert_eq!(occupying.get("/readyz").await.status, 200);
    occupying.begin("GET", "/counters", &[], "").await;
    for client in &mut clients {
        client.begin("POST", INCREMENT, &[], "").await;
    }
    let mut counted = 0;
    for client in &mut clients {
        let answer = client.answer().await.unwrap();
        if answer.status == 200 {
            counted += 1;
        } else {
            assert_eq!((answer.code(), answer.header("retry-after")), ((503, "busy".to_owned()), Some("1")));
        }
    }
    assert!((1..CLIENTS).contains(&counted), "{counted} of {CLIENTS}");
    assert_eq!(occupying.answer().await.unwrap().status, 200);
    assert_eq!(clients[0].get("/counter/a").await.json()["value"], counted);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_stopped_is_reported() {
    let served = Counting::plain().await;
    served.nodes[0].stop().await;
    let mut client = served.client().await;
    for (method, path) in
        [("POST", INCREMENT), ("GET", "/counter/a"), ("GET", "/counters"), ("GET", "/counter/a/watch")]
    {
        let refused = client.ask(method, path, &[], "").await;
        assert_eq!(refused.code(), (503, "stopped".to_owned()), "{method} {path}");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    let unready = client.get("/readyz").await;
    assert_eq!((unready.code(), unready.header("retry-after")), ((503, "not_ready".to_owned()), Some("1")));
    assert_eq!(client.get("/healthz").await.json(), json!({"healthy": true}), "the process answers");
    served.end().await;
}
