//! The cache over HTTP: values, versions, counting, batches.

use crate::support::{Cached, Client, SOON, wait_until};
use evenfold_cache::CacheOptions;
use evenfold_cache::http::ServiceOptions;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_put_read_replaced_and_deleted() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    let put = client.put("/v1/kv/a", r#"{"value":{"deep":[1,2]}}"#).await;
    assert_eq!((put.status, put.header("etag")), (201, Some("\"1\"")));
    assert_eq!(put.json(), json!({"version": 1, "created": true}));
    let got = client.get("/v1/kv/a").await;
    assert_eq!((got.status, got.header("etag")), (200, Some("\"1\"")));
    assert_eq!(got.body, r#"{"value":{"deep":[1,2]},"type":"json","version":1}"#);
    let head = client.ask("HEAD", "/v1/kv/a", &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some(got.body.len().to_string().as_str())));
    let replaced = client.put("/v1/kv/a", r#"{"value":12345678901234567890,"ttlSec":3600}"#).await;
    assert_eq!((replaced.status, replaced.json()), (200, json!({"version": 2, "created": false})));
    let got = client.get("/v1/kv/a").await.body;
    assert!(got.starts_with(r#"{"value":12345678901234567890,"type":"number","version":2,"ttlSec":3"#), "{got}");
    assert_eq!(client.ask("DELETE", "/v1/kv/a", &[], "").await.status, 204);
    for method in ["GET", "DELETE"] {
        assert_eq!(client.ask(method, "/v1/kv/a", &[], "").await.code(), (404, "not_found".to_owned()));
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_any_text_and_two_spellings_are_one_key() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    for (key, same) in [("a%2Fb", "%61%2fb"), ("incr", "inc%72"), ("batch", "b%61tch"), ("%C3%A9%20+", "%c3%a9%20%2B")]
    {
        assert_eq!(client.put(&format!("/v1/kv/{key}"), r#"{"value":1}"#).await.status, 201, "{key}");
        assert_eq!(client.get(&format!("/v1/kv/{same}")).await.status, 200, "{key}");
    }
    assert_eq!(
        client.post("/v1/kv/batch/get", r#"{"keys":["a/b","incr","é +"]}"#).await.body.matches("true").count(),
        3
    );
    assert_eq!(client.get("/v1/kv/a/b").await.code(), (404, "unknown_path".to_owned()));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_asks_for_a_version_and_is_answered_with_the_current_one() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    let body = r#"{"value":1}"#;
    let none = [("if-none-match", "*")];
    assert_eq!(client.ask("PUT", "/v1/kv/a", &[("if-match", "*")], body).await.code().0, 412);
    assert_eq!(client.ask("PUT", "/v1/kv/a", &none, body).await.status, 201);
    let taken = client.ask("PUT", "/v1/kv/a", &none, body).await;
    assert_eq!(taken.code(), (412, "precondition_failed".to_owned()));
    assert_eq!(taken.json()["error"]["currentVersion"], 1);
    assert_eq!(client.ask("PUT", "/v1/kv/a", &[("if-match", "\"1\"")], body).await.json()["version"], 2);
    for method in ["PUT", "DELETE"] {
        let stale = client.ask(method, "/v1/kv/a", &[("if-match", "\"1\"")], body).await;
        assert_eq!((stale.status, &stale.json()["error"]["currentVersion"]), (412, &json!(2)), "{method}");
    }
    let known = client.ask("GET", "/v1/kv/a", &[("if-none-match", "\"1\", \"2\"")], "").await;
    assert_eq!((known.status, known.header("etag"), known.body.as_str()), (304, Some("\"2\""), ""));
    assert_eq!(client.ask("GET", "/v1/kv/a", &[("if-none-match", "\"1\"")], "").await.status, 200);
    assert_eq!(client.ask("DELETE", "/v1/kv/a", &[("if-match", "\"2\"")], "").await.status, 204);
    let gone = client.ask("PUT", "/v1/kv/a", &[("if-match", "\"2\"")], body).await.json();
    assert_eq!(gone["error"].get("currentVersion"), Some(&json!(null)), "{gone}");
    assert_eq!(client.ask("PUT", "/v1/kv/a", &[("if-match", "+2")], body).await.code().1, "invalid_precondition");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_when_each_asks_for_the_version_it_has_read() {
    const CLIENTS: u64 = 8;
    const UPDATES: u64 = 25;
    let served = Cached::plain().await;
    served.client().await.put("/v1/kv/n", r#"{"value":0}"#).await;
    let update = |mut client: Client| async move {
        let mut done = 0;
        while done < UPDATES {
            let read = client.get("/v1/kv/n").await;
            let next = format!("{{\"value\":{}}}", read.json()["value"].as_u64().unwrap() + 1);
            let put = client.ask("PUT", "/v1/kv/n", &[("if-match", read.header("etag").unwrap())], next).await;
            assert!([200, 412].contains(&put.status), "{put:?}");
            done += u64::from(put.status == 200);
        }
    };
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(update(served.client().await));
    }
    clients.join_all().await;
    assert_eq!(served.client().await.get("/v1/kv/n").await.json()["value"], CLIENTS * UPDATES);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_is_one_step_and_refuses_what_is_no_number() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    let incr = |key: &str, delta: i64| json!({"key": key, "delta": delta}).to_string();
    assert_eq!(client.post("/v1/kv/incr", incr("n", 5)).await.json(), json!({"value": 5, "version": 1}));
    assert_eq!(client.post("/v1/kv/incr", incr("n", -7)).await.json()["value"], -2);
    assert_eq!(client.get("/v1/kv/n").await.json()["value"], -2);
    client.put("/v1/kv/max", r#"{"value":9223372036854775807}"#).await;
    assert_eq!(client.post("/v1/kv/incr", incr("max", 1)).await.code(), (409, "overflow".to_owned()));
    for value in ["\"1\"", "1.0", "null"] {
        client.put("/v1/kv/t", format!("{{\"value\":{value}}}")).await;
        assert_eq!(client.post("/v1/kv/incr", incr("t", 1)).await.code(), (409, "not_a_number".to_owned()));
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_for_each_key_in_its_order_and_does_nothing_if_one_is_wrong() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    let set = r#"{"entries":[{"key":"b","value":"AAE=","type":"base64"},
        {"key":"c","value":[],"ttlSec":60},{"key":"b","value":true}]}"#;
    let set = client.post("/v1/kv/batch/set", set).await.json();
    let results = &set["results"];
    assert_eq!((&results[0]["created"], &results[2]["created"]), (&json!(true), &json!(false)), "{results}");
    let got = client.post("/v1/kv/batch/get", r#"{"keys":["c","a","b"]}"#).await.json();
    assert_eq!(got["results"][1], json!({"key": "a", "found": false}));
    let b = json!({"key": "b", "found": true, "value": true, "type": "boolean", "version": results[2]["version"]});
    assert_eq!(got["results"][2], b);
    assert!(got["results"][0]["ttlSec"].as_f64().unwrap() > 50.0, "{got}");
    let deleted = client.post("/v1/kv/batch/delete", r#"{"keys":["b","a"]}"#).await.json();
    let expected = json!([{"key": "b", "deleted": true}, {"key": "a", "deleted": false}]);
    assert_eq!(deleted["results"], expected);
    // Nothing is put where one of the entries is wrong.
    let long = format!(r#""key":"e","value":"{}""#, "x".repeat(1024 * 1024 + 1));
    for (wrong, code) in [
        (r#""key":"","value":1"#, "invalid_key"),
        (r#""key":"e","value":1,"ttlSec":0.0001"#, "invalid_ttl"),
        (r#""key":"e","value":1,"type":"base64""#, "invalid_value"),
        (&long, "too_large"),
    ] {
        let refused =
            client.post("/v1/kv/batch/set", format!(r#"{{"entries":[{{"key":"d","value":1}},{{{wrong}}}]}}"#)).await;
        assert_eq!(refused.code().1, code);
        assert_eq!(client.get("/v1/kv/d").await.status, 404);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_lives_for_fractions_of_a_second() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    let begun = Instant::now();
    assert_eq!(client.put("/v1/kv/a", r#"{"value":1,"ttlSec":0.15}"#).await.status, 201);
    wait_until("its end", SOON, async || client.get("/v1/kv/a").await.status == 404).await;
    let lived = begun.elapsed();
    assert!(lived >= Duration::from_millis(150), "it was gone after {lived:?}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_are_the_same_when_they_are_kept_compressed() {
    let options = CacheOptions::default().compress_above_bytes(Some(100));
    let served = Cached::new(options, ServiceOptions::default()).await;
    let mut client = served.client().await;
    let value = json!({"value": "again and again ".repeat(10_000)});
    assert_eq!(client.put("/v1/kv/a", value.to_string()).await.status, 201);
    assert_eq!(client.get("/v1/kv/a").await.json()["value"], value["value"]);
    assert!(served.figure("evenfold_cache_memory_bytes").await.unwrap() < 50_000.0);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_in_one_process_know_nothing_of_each_other() {
    let (one, two) = (Cached::plain().await, Cached::plain().await);
    assert_eq!(one.client().await.put("/v1/kv/a", r#"{"value":1}"#).await.status, 201);
    assert_eq!(two.client().await.get("/v1/kv/a").await.status, 404);
    let puts = r#"evenfold_cache_requests_total{route="put",status="2xx"}"#;
    assert_eq!((one.figure(puts).await, two.figure(puts).await), (Some(1.0), None));
    one.end().await;
    assert_eq!(two.client().await.get("/readyz").await.status, 200);
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_request_has_its_row_of_the_metrics_and_there_are_no_others() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    for (method, path, route) in [
        ("GET", "/v1/kv/a", "get"),
        ("HEAD", "/v1/kv/a", "get"),
        ("GET", "/v1/kv/incr", "get"),
        ("PUT", "/v1/kv/incr", "put"),
        ("DELETE", "/v1/kv/a", "delete"),
        ("POST", "/v1/kv/incr", "incr"),
        ("POST", "/v1/kv/batch/get", "batch_get"),
        ("POST", "/v1/kv/batch/set", "batch_set"),
        ("POST", "/v1/kv/batch/delete", "batch_delete"),
        ("POST", "/v1/admin/resize", "admin"),
        ("POST", "/v1/admin/drain", "admin"),
        ("POST", "/v1/admin/resume", "admin"),
        ("GET", "/healthz", "watch"),
        ("GET", "/readyz", "watch"),
        ("GET", "/metrics", "metrics"),
        ("GET", "/", "docs"),
        ("GET", "/docs/openapi.json", "docs"),
        ("PATCH", "/v1/kv/a", "other"),
        ("GET", "/v2/kv/a", "other"),
    ] {
        let before = rows(&mut client).await;
        client.ask(method, path, &[], "").await;
        let mut more = rows(&mut client).await;
        for (row, count) in &before {
            *more.get_mut(row).unwrap() -= count;
        }
        // The first look is counted by the second.
        *more.entry("metrics".to_owned()).or_default() -= 1;
        more.retain(|_, count| *count > 0);
        assert_eq!(more, [(route.to_owned(), 1)].into(), "{method} {path}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_and_conflicts_are_counted() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    let body = r#"{"value":"twelve bytes"}"#;
    let put = client.put("/v1/kv/a", body).await;
    let got = client.get("/v1/kv/a").await;
    for version in ["7", "\"8\""] {
        assert_eq!(client.ask("PUT", "/v1/kv/a", &[("If-Match", version)], body).await.status, 412);
    }
    assert_eq!(client.ask("PUT", "/v1/kv/a", &[("If-Match", "1")], body).await.status, 200, "without quotes");
    let figures = client.get("/metrics").await.body;
    let answers = 2 * put.body.len() + got.body.len() + 1;
    for line in [
        format!("evenfold_cache_received_bytes_total {}\n", 4 * body.len()),
        format!("evenfold_cache_sent_bytes_total {answers}\n"),
        "evenfold_cache_refusals_total{code=\"precondition_failed\"} 2\n".to_owned(),
    ] {
        assert!(figures.contains(&line), "{line}{figures}");
    }
    served.end().await;
}

/// How many requests each row of the metrics has.
async fn rows(client: &mut Client) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    for line in client.get("/metrics").await.body.lines() {
        if let Some(row) = line.strip_prefix("evenfold_cache_requests_total{route=\"") {
            let (name, count) = (row.split('"').next().unwrap(), row.rsplit(' ').next().unwrap());
            *rows.entry(name.to_owned()).or_default() += count.parse::<i64>().unwrap();
        }
    }
    rows
}
