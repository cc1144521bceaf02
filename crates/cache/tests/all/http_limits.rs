//! What the service refuses: at the edge of each limit, with full mailboxes, in maintenance, and without the token.

use crate::support::{Cached, Client};
use evenfold_cache::CacheOptions;
use evenfold_cache::http::ServiceOptions;
use evenfold_http::{ApiToken, Auth};
use serde_json::{Value, json};

async fn with_item_bytes(max_item_bytes: usize) -> Cached {
    Cached::new(CacheOptions::default().max_item_bytes(max_item_bytes), ServiceOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn values_have_their_limit_however_they_are_sent() {
    let served = with_item_bytes(90).await;
    let mut client = served.client().await;
    let texts = |count: usize| [json!({"value": "x".repeat(count)}).to_string(), escaped(count), base64(count)];
    for body in texts(90) {
        assert_eq!(client.put("/v1/kv/a", &body).await.status / 100, 2, "{body}");
    }
    for body in texts(91) {
        assert_eq!(client.put("/v1/kv/a", &body).await.code(), (413, "too_large".to_owned()), "{body}");
    }
    let limit = 90 * 6 + 1024;
    let padded = |length: usize| format!("{:length$}", r#"{"value":1}"#);
    assert_eq!(client.put("/v1/kv/a", padded(limit)).await.status, 200);
    assert_eq!(served.client().await.put("/v1/kv/a", padded(limit + 1)).await.code(), (413, "too_large".to_owned()));
    served.end().await;
}

fn escaped(count: usize) -> String {
    format!("{{\"value\":\"{}\"}}", "\\u0001".repeat(count))
}

/// So many bytes that are zero.
fn base64(count: usize) -> String {
    let padding = ["", "==", "="][count % 3];
    let text = "A".repeat(count.div_ceil(3) * 4 - padding.len());
    json!({"value": format!("{text}{padding}"), "type": "base64"}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_batches_and_times_have_their_limits() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    let one = r#"{"value":1}"#;
    assert_eq!(client.put(&format!("/v1/kv/{}", "k".repeat(512)), one).await.status, 201);
    for key in [&"k".repeat(513), "", "%00", "%ff", "%"] {
        assert_eq!(client.put(&format!("/v1/kv/{key}"), one).await.code(), (400, "invalid_key".to_owned()), "{key}");
    }
    let keys = |count: usize| json!({"keys": (0..count).map(|n| n.to_string()).collect::<Vec<_>>()}).to_string();
    let entries: Vec<Value> = (0..1_000).map(|n| json!({"key": n.to_string(), "value": n})).collect();
    let set = client.post("/v1/kv/batch/set", json!({"entries": entries}).to_string()).await;
    assert_eq!((set.status, set.body.matches("\"created\":true").count()), (200, 1_000));
    assert_eq!(client.post("/v1/kv/batch/get", keys(1_000)).await.body.matches("\"found\":true").count(), 1_000);
    for path in ["/v1/kv/batch/get", "/v1/kv/batch/delete"] {
        assert_eq!(client.post(path, keys(1_001)).await.code(), (422, "invalid_body".to_owned()));
        assert_eq!(client.post(path, keys(0)).await.code(), (422, "invalid_body".to_owned()));
    }
    for (ttl, status) in [("0.001", 200), ("315360000", 200), ("0.0009", 422), ("315360000.1", 422), ("-0", 422)] {
        let put = client.put(&format!("/v1/kv/{}", 1), format!("{{\"value\":1,\"ttlSec\":{ttl}}}")).await;
        // An entry of one millisecond may be gone when it is put again.
        assert_eq!(if put.status == 201 { 200 } else { put.status }, status, "{ttl}: {put:?}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_with_no_more_than_its_limit() {
    let served = with_item_bytes(4 * 1024 * 1024).await;
    let mut client = served.client().await;
    let value = json!({"value": "x".repeat(4 * 1024 * 1024)}).to_string();
    for key in 0..7 {
        assert_eq!(client.put(&format!("/v1/kv/{key}"), &value).await.status, 201);
    }
    // Six fit into six times the limit of a value.
    let keys = |count: usize| json!({"keys": (0..count).map(|n| n.to_string()).collect::<Vec<_>>()}).to_string();
    assert_eq!(client.post("/v1/kv/batch/get", keys(5)).await.status, 200);
    assert_eq!(client.post("/v1/kv/batch/get", keys(7)).await.code(), (413, "too_large".to_owned()));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_names_a_key_once_unless_it_puts() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    client.put("/v1/kv/a", r#"{"value":1}"#).await;
    for path in ["/v1/kv/batch/get", "/v1/kv/batch/delete"] {
        let refused = client.post(path, r#"{"keys":["b","a\"","c","a\u0022"]}"#).await;
        assert_eq!(refused.code(), (422, "invalid_body".to_owned()), "{path}");
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(message, r#"the key "a\"" is named twice; name each key once"#);
    }
    assert_eq!(client.get("/v1/kv/a").await.status, 200, "nothing was deleted");
    let twice = r#"{"entries":[{"key":"a","value":2},{"key":"a","value":3}]}"#;
    assert_eq!(client.post("/v1/kv/batch/set", twice).await.status, 200);
    assert_eq!(client.get("/v1/kv/a").await.json()["value"], 3, "the last one stays");
    served.end().await;
}

/// The mailbox has room for what the cache itself asks the shard for now and then, and little more.
async fn with_tiny_mailbox() -> Cached {
    let options = CacheOptions::default().shards(1).max_shard_mailbox(3);
    Cached::new(options, ServiceOptions::default()).await
}

/// The actor of the shard is asked whether it answers. Until it has, changes wait for their turn.
async fn occupy(served: &Cached) -> Client {
    let mut client = served.client().await;
    // Its connection is accepted by then.
    assert_eq!(client.get("/readyz").await.status, 200);
    client.begin("GET", "/healthz", &[], "").await;
    client
}

/// One thread: what several clients have sent is all taken before the actor of the shard gets its turn.
#[tokio::test]
async fn a_full_mailbox_is_reported_changes_nothing_and_empties() {
    let served = with_tiny_mailbox().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = served.client().await;
        assert_eq!(client.get("/readyz").await.status, 200);
        clients.push(client);
    }
    let mut occupying = occupy(&served).await;
    for (n, client) in clients.iter_mut().enumerate() {
        client.begin("PUT", &format!("/v1/kv/{n}"), &[], r#"{"value":1}"#).await;
    }
    let mut refused = 0;
    for (n, mut client) in clients.into_iter().enumerate() {
        let put = client.answer().await.unwrap();
        let there = client.get(&format!("/v1/kv/{n}")).await.status == 200;
        if put.status == 201 {
            assert!(there, "{n}");
        } else {
            assert_eq!((put.code(), put.header("retry-after")), ((503, "busy".to_owned()), Some("1")));
            assert!(!there, "{n} was refused");
            assert_eq!(client.put(&format!("/v1/kv/{n}"), r#"{"value":1}"#).await.status, 201, "it has recovered");
            refused += 1;
        }
    }
    assert!((1..20).contains(&refused), "{refused} of 20");
    assert_eq!(occupying.answer().await.unwrap().status, 200);
    served.end().await;
}

#[tokio::test]
async fn a_batch_reports_which_of_its_changes_a_full_mailbox_has_refused() {
    let served = with_tiny_mailbox().await;
    let mut client = served.client().await;
    let entries: Vec<Value> = (0..20).map(|n| json!({"key": n.to_string(), "value": n})).collect();
    let mut occupying = occupy(&served).await;
    let set = client.post("/v1/kv/batch/set", json!({"entries": entries}).to_string()).await;
    let mut refused = 0;
    for result in set.json()["results"].as_array().unwrap() {
        let there = served.cache.get(result["key"].as_str().unwrap()).is_some();
        let busy = result["error"]["code"] == "busy";
        assert!(there != busy && result["created"].is_boolean() != busy, "{result}");
        refused += usize::from(busy);
    }
    assert!((1..20).contains(&refused), "{refused} of 20");
    assert_eq!(occupying.answer().await.unwrap().status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_maintenance_reads_go_on_and_changes_are_answered_with_retry_after() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    client.put("/v1/kv/a", r#"{"value":1}"#).await;
    assert_eq!(client.post("/v1/admin/drain", "").await.json(), json!({"maintenance": true}));
    for (method, path, body) in [
        ("PUT", "/v1/kv/a", r#"{"value":2}"#),
        ("DELETE", "/v1/kv/a", ""),
        ("POST", "/v1/kv/incr", r#"{"key":"a","delta":1}"#),
        ("POST", "/v1/kv/batch/set", r#"{"entries":[{"key":"a","value":2}]}"#),
        ("POST", "/v1/kv/batch/delete", r#"{"keys":["a"]}"#),
        ("GET", "/readyz", ""),
    ] {
        let refused = client.ask(method, path, &[], body).await;
        assert_eq!(refused.code(), (503, "maintenance".to_owned()), "{method} {path}");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(client.get("/v1/kv/a").await.json()["value"], 1);
    assert_eq!(client.get("/healthz").await.status, 200);
    assert_eq!(client.post("/v1/admin/resume", "").await.json(), json!({"maintenance": false}));
    assert_eq!(client.put("/v1/kv/a", r#"{"value":2}"#).await.status, 200);
    assert_eq!(client.get("/readyz").await.status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_shards_changes_and_every_value_stays() {
    let served = Cached::plain().await;
    let mut client = served.client().await;
    for shards in [1, 7, 3] {
        let keys: Vec<String> = (0..200).map(|n| format!("{shards}-{n}")).collect();
        let entries: Vec<Value> = keys.iter().map(|key| json!({"key": key, "value": shards})).collect();
        client.post("/v1/kv/batch/set", json!({"entries": entries}).to_string()).await;
        assert_eq!(
            client.post("/v1/admin/resize", json!({"shards": shards}).to_string()).await.json()["shards"],
            shards
        );
        let health = client.get("/healthz").await.json();
        let answering = health["shards"].as_array().unwrap().iter().filter(|shard| shard["answers"] == true).count();
        assert_eq!((answering, &health["healthy"]), (shards, &json!(true)));
        let got = client.post("/v1/kv/batch/get", json!({"keys": keys}).to_string()).await.body;
        assert_eq!(got.matches("\"found\":true").count(), 200);
    }
    for shards in [0, 1025] {
        let refused = client.post("/v1/admin/resize", json!({"shards": shards}).to_string()).await;
        assert_eq!(refused.code(), (422, "invalid_shards".to_owned()));
    }
    served.end().await;
}

const REQUESTS: [(&str, &str, &str, bool); 11] = [
    ("GET", "/v1/kv/a", "", true),
    ("POST", "/v1/kv/batch/get", r#"{"keys":["a"]}"#, true),
    ("PUT", "/v1/kv/a", r#"{"value":1}"#, false),
    ("DELETE", "/v1/kv/a", "", false),
    ("POST", "/v1/kv/incr", r#"{"key":"n","delta":1}"#, false),
    ("POST", "/v1/kv/batch/set", r#"{"entries":[{"key":"a","value":1}]}"#, false),
    ("POST", "/v1/kv/batch/delete", r#"{"keys":["a"]}"#, false),
    ("POST", "/v1/admin/resize", r#"{"shards":2}"#, false),
    ("POST", "/v1/admin/drain", "", false),
    ("POST", "/v1/admin/resume", "", false),
    ("GET", "/v1/nothing", "", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn changes_need_the_token_and_reads_where_that_is_set() {
    for reads in [false, true] {
        let auth = Some(Auth { token: ApiToken::new("secret").unwrap(), reads });
        let served = Cached::new(CacheOptions::default(), ServiceOptions::default().auth(auth)).await;
        for (method, path, body, read) in REQUESTS {
            let mut client = served.client().await;
            for headers in [&[][..], &[("x-api-token", "Secret")], &[("x-api-token", "")]] {
                let refused = client.ask(method, path, headers, body).await.status == 401;
                assert_eq!(refused, reads || !read, "{method} {path} {headers:?}");
            }
            let allowed = client.ask(method, path, &[("x-api-token", "secret")], body).await;
            assert_ne!(allowed.status, 401, "{method} {path}");
        }
        for path in ["/healthz", "/readyz", "/metrics", "/docs", "/docs/openapi.json"] {
            assert_eq!(served.client().await.get(path).await.status, 200, "{path}");
        }
        served.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_no_web_page_can_change_anything() {
    let served = Cached::plain().await;
    let page = [("origin", "https://example.org")];
    for (method, path, body, read) in REQUESTS {
        let answer = served.client().await.ask(method, path, &page, body).await;
        assert_eq!(answer.status == 403, !read, "{method} {path}: {answer:?}");
    }
    served.end().await;
}
