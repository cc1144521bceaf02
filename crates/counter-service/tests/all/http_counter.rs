//! The counter service over HTTP: counting, reading, the highest values.

use crate::support::{Counting, SOON, wait_until};
use evenfold::counters::Changes;
use evenfold_cluster::{NodeId, local};
use evenfold_counter_service::http::ServiceOptions;
use evenfold_counter_service::{Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use evenfold_http::Limits;
use serde_json::json;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn an_increment_is_answered_with_the_value_it_has_made_and_is_read() {
    let served = Counting::plain().await;
    let mut client = served.client().await;
    let first = client.post("/counter/my-counter/increment", "").await;
    assert_eq!((first.status, first.header("content-type")), (200, Some("application/json")));
    assert_eq!(first.body, r#"{"counter_id":"my-counter","value":1,"version":1}"#);
    // The content type that curl gives to a body with -d.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let second = client.ask("POST", "/counter/my-counter/increment", &form, r#"{"amount": 5}"#).await;
    assert_eq!(second.json(), json!({"counter_id": "my-counter", "value": 6, "version": 2}));
    let third = client.post("/counter/my-counter/increment", r#"{"amount":-10}"#).await;
    assert_eq!(third.json(), json!({"counter_id": "my-counter", "value": -4, "version": 3}));
    let read = client.get("/counter/my-counter").await;
    assert_eq!((read.status, read.body.as_str()), (200, third.body.as_str()));
    let head = client.ask("HEAD", "/counter/my-counter", &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some(read.body.len().to_string().as_str())));
    assert_eq!(client.get("/counter/unknown").await.json(), json!({"counter_id": "unknown", "value": 0, "version": 0}));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_any_text_and_two_spellings_are_one_counter() {
    let served = Counting::plain().await;
    let mut client = served.client().await;
    for (one, same, name) in [
        ("a%2Fb", "%61%2fb", "a/b"),
        ("increment", "incremen%74", "increment"),
        ("watch", "%77atch", "watch"),
        ("%C3%A9%20+", "%c3%a9%20%2B", "é +"),
        ("%22%5C%25", "%22%5c%25", "\"\\%"),
    ] {
        assert_eq!(client.post(&format!("/counter/{one}/increment"), "").await.status, 200, "{one}");
        let read = client.get(&format!("/counter/{same}")).await.json();
        assert_eq!(read, json!({"counter_id": name, "value": 1, "version": 1}));
    }
    let longest = "é".repeat(128);
    let encoded = "%C3%A9".repeat(128);
    assert_eq!(client.post(&format!("/counter/{encoded}/increment"), "").await.json()["counter_id"], longest);
    assert_eq!(client.post(&format!("/counter/{encoded}x/increment"), "").await.code(), (400, "invalid_id".to_owned()));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_come_first_and_of_equal_ones_the_name_that_does() {
    let served = Counting::plain().await;
    let mut client = served.client().await;
    assert_eq!(client.get("/counters").await.body, r#"{"counters":[]}"#);
    for n in 1..=25 {
        let amount = format!("{{\"amount\":{}}}", n / 2 + 1);
        assert_eq!(client.post(&format!("/counter/c{n:02}/increment"), amount).await.status, 200);
    }
    let top = client.get("/counters?top=3").await.json();
    let expected = [("c24", 13), ("c25", 13), ("c22", 12)].map(|(id, value)| json!({"counter_id": id, "value": value}));
    assert_eq!(top, json!({"counters": expected}));
    let count = async |client: &mut crate::support::Client, path| {
        client.get(path).await.json()["counters"].as_array().unwrap().len()
    };
    assert_eq!(count(&mut client, "/counters").await, 20);
    assert_eq!(count(&mut client, "/counters?top=1000").await, 25);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_enter_through_the_nodes_in_turn() {
    let options = (NodeOptions::default(), ServiceOptions::default());
    let served = Counting::volatile(3, options.0, options.1, Limits::default()).await;
    let mut client = served.client().await;
    for _ in 0..30 {
        assert_eq!(client.post("/counter/a/increment", "").await.status, 200);
    }
    for node in &served.nodes {
        assert_eq!(node.metrics().handled, 10);
    }
    assert_eq!(client.get("/readyz").await.json(), json!({"ready": true}));
    served.end().await;
}

/// A node of a cluster in this process, of which each has received the changes of all.
async fn join(network: &local::Network, groups: &ProcessGroups<Arc<Changes>>, name: &str) -> Node {
    let (transport, id) = (Arc::new(network.endpoint()), NodeId::new(name).unwrap());
    Node::join(NodeOptions::default(), Storage::Volatile, groups, transport, id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_of_a_cluster_in_one_process_are_one_service() {
    let (network, groups) = (local::Network::new(), ProcessGroups::default());
    let nodes = vec![join(&network, &groups, "a").await, join(&network, &groups, "b").await];
    let served = Counting::serving(nodes, ServiceOptions::default(), Limits::default()).await;
    let mut client = served.client().await;
    let both = r#"evenfold_counter_cluster_members{node="a"}"#;
    let ready =
        async || served.figure(both).await == Some(2.0) && served.client().await.get("/readyz").await.status == 200;
    wait_until("both to have their shards", SOON, ready).await;
    for n in 0..200 {
        let path = format!("/counter/c{}/increment", n % 20);
        assert_eq!(client.post(&path, "").await.json()["value"], n / 20 + 1);
    }
    let mut values = Vec::new();
    for counter in client.get("/counters").await.json()["counters"].as_array().unwrap() {
        values.push(counter["value"].clone());
    }
    assert_eq!(values, [10; 20]);
    for name in ["a", "b"] {
        let line = format!("evenfold_counter_forwarded_requests_total{{node=\"{name}\"}}");
        assert!(served.figure(&line).await.unwrap() > 0.0, "{line}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_in_one_process_know_nothing_of_each_other() {
    let (one, two) = (Counting::plain().await, Counting::plain().await);
    assert_eq!(one.client().await.post("/counter/a/increment", "").await.status, 200);
    assert_eq!(two.client().await.get("/counter/a").await.json()["value"], 0);
    let increments = r#"evenfold_counter_requests_total{route="increment",status="2xx"}"#;
    assert_eq!((one.figure(increments).await, two.figure(increments).await), (Some(1.0), None));
    one.end().await;
    assert_eq!(two.client().await.get("/readyz").await.status, 200);
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_may_be_named_like_an_operation() {
    let served = Counting::plain().await;
    let mut client = served.client().await;
    let counted = client.post("/counter/increment/increment", "").await;
    assert_eq!(counted.json(), json!({"counter_id": "increment", "value": 1, "version": 1}));
    assert_eq!(client.get("/counter/increment").await.body, counted.body);
    assert_eq!(client.get("/counter/watch").await.json()["counter_id"], "watch");
    let watched = client.ask("HEAD", "/counter/a%2Fwatch/watch", &[], "").await;
    assert_eq!((watched.status, watched.header("content-type")), (200, Some("text/event-stream")));
    for (method, path, code) in [
        ("GET", "/counter/", (400, "invalid_id".to_owned())),
        ("POST", "/counter//increment", (400, "invalid_id".to_owned())),
        ("GET", "/counter/a/increment", (405, "method_not_allowed".to_owned())),
        ("POST", "/counter/a", (405, "method_not_allowed".to_owned())),
        ("POST", "/counter/a/b/increment", (404, "unknown_path".to_owned())),
    ] {
        assert_eq!(client.ask(method, path, &[], "").await.code(), code, "{method} {path}");
    }
    served.end().await;
}
