//! What is answered about an entry besides its value, and when it ends.

use crate::support::Cached;
use evenfold_cache::CacheOptions;
use evenfold_cache::http::ServiceOptions;
use serde_json::{Value, json};

async fn served() -> Cached {
    Cached::new(CacheOptions::default().compress_above_bytes(Some(100)), ServiceOptions::default()).await
}

/// A moment that is some years away, and not more than ten.
fn far(years: u64) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    format!("{}-02-03T04:05:06.789Z", 1970 + now / (365 * 24 * 3600) + years)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_to_know_about_an_entry_is_answered_where_it_is_asked_for() {
    let served = served().await;
    let mut client = served.client().await;
    let moment = far(2);
    let body = json!({"value": "twelve bytes", "expiresAt": moment}).to_string();
    assert_eq!(client.put("/v1/kv/a", body).await.status, 201);
    client.put("/v1/kv/b", json!({"value": "again ".repeat(100)}).to_string()).await;
    let short = client.get("/v1/kv/a").await.json();
    let names = |entry: &Value| entry.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&short), ["ttlSec", "type", "value", "version"], "nothing more than is asked for");
    assert_eq!(names(&client.get("/v1/kv/a?includeMeta=false").await.json()).len(), 4);
    let whole = client.get("/v1/kv/a?includeMeta=true").await.json();
    let all = ["bytes", "compressed", "expiresAt", "memoryBytes", "ttlSec", "type", "value", "version"];
    assert_eq!(names(&whole), all);
    assert_eq!(
        (&whole["expiresAt"], &whole["bytes"], &whole["compressed"]),
        (&json!(moment), &json!(12), &json!(false))
    );
    assert!(whole["memoryBytes"].as_u64().unwrap() > 250, "{whole}");
    let batch = client.post("/v1/kv/batch/get?includeMeta=true", r#"{"keys":["a","none","b"]}"#).await.json();
    let results = &batch["results"];
    assert_eq!((&results[0]["expiresAt"], &results[0]["bytes"]), (&json!(moment), &json!(12)), "{batch}");
    assert_eq!(results[1], json!({"key": "none", "found": false}));
    assert_eq!((&results[2]["bytes"], &results[2]["compressed"]), (&json!(600), &json!(true)));
    assert_eq!(results[2].get("expiresAt"), None, "it does not end");
    let short = client.post("/v1/kv/batch/get", r#"{"keys":["a"]}"#).await.json();
    assert_eq!(short["results"][0].get("bytes"), None);
    for wrong in ["includeMeta=yes", "includeMeta", "includeMeta=true&includeMeta=true"] {
        for (method, path) in [("GET", "/v1/kv/a"), ("POST", "/v1/kv/batch/get")] {
            let refused = client.ask(method, &format!("{path}?{wrong}"), &[], r#"{"keys":["a"]}"#).await;
            assert_eq!(refused.code(), (400, "invalid_query".to_owned()), "{wrong}");
        }
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_there_until_a_moment_and_what_was_read_can_be_put_again() {
    let served = served().await;
    let mut client = served.client().await;
    let (early, late) = (far(1), far(3));
    let entry = |key: &str, moment: &str| json!({"key": key, "value": 1, "expiresAt": moment});
    let set = json!({"entries": [entry("a", &early), entry("b", &late)]}).to_string();
    assert_eq!(client.post("/v1/kv/batch/set", set).await.status, 200);
    for (key, moment) in [("a", &early), ("b", &late)] {
        let read = client.get(&format!("/v1/kv/{key}?includeMeta=true")).await.json();
        assert_eq!(read["expiresAt"], **moment);
        let again = json!({"value": read["value"], "type": read["type"], "expiresAt": read["expiresAt"]}).to_string();
        assert_eq!(client.put("/v1/kv/again", again).await.status, if key == "a" { 201 } else { 200 });
        assert_eq!(client.get("/v1/kv/again?includeMeta=true").await.json()["expiresAt"], **moment);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_that_has_passed_or_is_none_or_comes_with_a_time_to_live_changes_nothing() {
    let served = served().await;
    let mut client = served.client().await;
    client.put("/v1/kv/a", r#"{"value":"before"}"#).await;
    let (both, far_away) = (far(2), far(12));
    for (end, code) in [
        (json!({"expiresAt": "2020-01-01T00:00:00Z"}), "invalid_ttl"),
        (json!({"expiresAt": far_away}), "invalid_ttl"),
        (json!({"expiresAt": "next week"}), "invalid_ttl"),
        (json!({"expiresAt": 1_893_456_000}), "invalid_body"),
        (json!({"expiresAt": both, "ttlSec": 1}), "invalid_body"),
        (json!({"ttlSec": 0}), "invalid_ttl"),
    ] {
        let mut body = end;
        body["value"] = json!("after");
        assert_eq!(client.put("/v1/kv/a", body.to_string()).await.code(), (422, code.to_owned()), "{body}");
        body["key"] = json!("a");
        let refused = client.post("/v1/kv/batch/set", json!({"entries": [body]}).to_string()).await;
        // What is wrong with a batch is found before any of it is done, or answered as the only result.
        assert_eq!(refused.code(), (422, code.to_owned()), "{refused:?}");
        assert_eq!(client.get("/v1/kv/a").await.json()["value"], "before");
    }
    let null = format!(r#"{{"value":"after","ttlSec":null,"expiresAt":"{both}"}}"#);
    assert_eq!(client.put("/v1/kv/a", null).await.status, 200, "null is as good as nothing");
    served.end().await;
}
