//! Watching a counter over HTTP.

use crate::support::{Client, Counting, SOON, wait_until};
use evenfold_counter_service::http::ServiceOptions;
use evenfold_counter_service::{CounterId, NodeOptions};
use evenfold_http::Limits;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const WATCHERS: &str = "evenfold_counter_watchers";

/// A client that watches a counter, after the answer has begun.
async fn watch(served: &Counting, counter: &str) -> Client {
    let mut client = served.client().await;
    let begun = client.get(&format!("/counter/{counter}/watch")).await;
    assert_eq!((begun.status, begun.header("content-type")), (200, Some("text/event-stream")), "{begun:?}");
    assert_eq!(begun.header("cache-control"), Some("no-store"));
    client
}

/// The version and the data of an event.
fn event(chunk: &str) -> (i64, Value) {
    let (id, data) = chunk.strip_prefix("id: ").unwrap().split_once("\ndata: ").unwrap();
    (id.parse().unwrap(), serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_sent_the_value_there_is_and_then_each_newer_one() {
    let served = Counting::plain().await;
    let mut client = served.client().await;
    client.post("/counter/a%2Fb/increment", r#"{"amount":41}"#).await;
    let mut watcher = watch(&served, "a%2fb").await;
    let expected =
        |value: i64, version: i64| (version, json!({"counter_id": "a/b", "value": value, "version": version}));
    assert_eq!(event(&watcher.chunk().await.unwrap()), expected(41, 1));
    for (amount, value, version) in [(1, 42, 2), (-50, -8, 3)] {
        client.post("/counter/other/increment", "").await;
        client.post("/counter/a%2Fb/increment", json!({"amount": amount}).to_string()).await;
        assert_eq!(event(&watcher.chunk().await.unwrap()), expected(value, version));
    }
    let mut unknown = watch(&served, "unknown").await;
    assert_eq!(event(&unknown.chunk().await.unwrap()).0, 0);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_end_when_the_service_stops_and_do_not_use_up_the_grace() {
    let limits = Limits::default().grace(Duration::from_hours(1));
    let served = Counting::volatile(1, NodeOptions::default(), ServiceOptions::default(), limits).await;
    let mut watchers = Vec::new();
    for _ in 0..5 {
        let mut watcher = watch(&served, "a").await;
        assert!(watcher.chunk().await.is_some());
        watchers.push(watcher);
    }
    served.end().await;
    for mut watcher in watchers {
        assert_eq!(watcher.chunk().await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_slow_sees_the_newest_value_in_the_end_and_not_all() {
    const INCREMENTS: i64 = 40_000;
    let served = Counting::plain().await;
    // As many bytes in each event as there can be, so that no buffer on the way has room for all of them.
    let name = "\"".repeat(256);
    let mut watcher = watch(&served, &"%22".repeat(256)).await;
    let id = CounterId::new(&name).unwrap();
    for _ in 0..INCREMENTS {
        served.nodes[0].increment(&id, 1, None).await.unwrap();
    }
    let (mut seen, mut last) = (0, -1);
    while last < INCREMENTS {
        let (version, data) = event(&watcher.chunk().await.unwrap());
        assert!(version > last && data["value"] == version, "{version} after {last}: {data}");
        (seen, last) = (seen + 1, version);
    }
    assert!(seen < INCREMENTS, "it was not slow");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_watch_than_may_and_who_goes_away_makes_room() {
    let served = Counting::with(ServiceOptions::default().max_watchers(2).max_inflight(1)).await;
    let (first, mut second) = (watch(&served, "a").await, watch(&served, "b").await);
    assert_eq!(served.figure(WATCHERS).await, Some(2.0));
    let refused = served.client().await.get("/counter/c/watch").await;
    assert_eq!((refused.code(), refused.header("retry-after")), ((503, "too_many_watchers".to_owned()), Some("1")));
    assert_eq!(served.client().await.get("/counter/a").await.status, 200, "watchers are not in flight");
    drop(first);
    wait_until("its place", SOON, async || served.figure(WATCHERS).await == Some(1.0)).await;
    let mut third = watch(&served, "c").await;
    for watcher in [&mut second, &mut third] {
        assert!(watcher.chunk().await.is_some());
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_head_alone_or_for_what_is_no_counter_takes_no_place() {
    let served = Counting::with(ServiceOptions::default().max_watchers(1)).await;
    let mut client = served.client().await;
    assert_eq!(client.ask("HEAD", "/counter/a/watch", &[], "").await.status, 200);
    for wrong in ["", "%00", "%"] {
        let refused = client.get(&format!("/counter/{wrong}/watch")).await;
        assert_eq!(refused.code(), (400, "invalid_id".to_owned()), "{wrong}");
    }
    assert_eq!(served.figure(WATCHERS).await, Some(0.0));
    served.end().await;
}

/// The clock goes on whenever everybody waits.
#[tokio::test(start_paused = true)]
async fn a_stream_without_changes_is_kept_open_by_a_comment_every_15_seconds() {
    let served = Counting::plain().await;
    let mut watcher = watch(&served, "a").await;
    assert!(watcher.chunk().await.is_some());
    for _ in 0..5 {
        let before = Instant::now();
        assert_eq!(watcher.chunk().await.as_deref(), Some(":\n\n"));
        assert_eq!(before.elapsed().as_secs(), 15);
    }
    served.nodes[0].increment(&CounterId::new("a").unwrap(), 1, None).await.unwrap();
    assert_eq!(event(&watcher.chunk().await.unwrap()).0, 1);
    served.end().await;
}
