//! Requests in flight: how many there may be, how many bytes they may have, and when they end.

use crate::support::{Cached, Client, SOON, wait_until};
use evenfold_cache::http::ServiceOptions;
use evenfold_cache::{CacheOptions, Condition, Value};
use evenfold_http::Limits;
use serde_json::json;
use std::time::Duration;

const IN_FLIGHT: &str = "evenfold_cache_requests_in_flight";
const BYTES: &str = "evenfold_cache_bytes_in_flight";

/// A put whose body is not complete: it is in flight until the rest comes.
async fn half_a_put(served: &Cached, path: &str) -> Client {
    let mut client = served.client().await;
    client.send(format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n{{\"val")).await;
    wait_until("the request", SOON, async || served.figure(IN_FLIGHT).await == Some(1.0)).await;
    client
}

const REST: &str = "ue\":1}";

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_in_flight_are_refused_until_one_is_answered() {
    let served = Cached::new(CacheOptions::default(), ServiceOptions::default().max_inflight(1)).await;
    let mut waiting = half_a_put(&served, "/v1/kv/a").await;
    let refused = served.client().await.get("/v1/kv/b").await;
    assert_eq!((refused.code(), refused.header("retry-after")), ((503, "too_many_in_flight".to_owned()), Some("1")));
    assert_eq!(served.client().await.get("/healthz").await.status, 200, "who looks on is let in");
    waiting.send(REST).await;
    assert_eq!(waiting.answer().await.unwrap().status, 201);
    // The place is free once the answer is written, which may be a moment after it is read.
    wait_until("its place", SOON, async || served.client().await.get("/v1/kv/a").await.status == 200).await;
    let gone = half_a_put(&served, "/v1/kv/b").await;
    drop(gone);
    wait_until("its place", SOON, async || served.client().await.get("/v1/kv/a").await.status == 200).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_times_out() {
    let service = ServiceOptions::default().request_timeout(Duration::from_millis(50));
    let served = Cached::new(CacheOptions::default(), service).await;
    let mut client = served.client().await;
    client.send("PUT /v1/kv/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n{\"val").await;
    assert_eq!(client.answer().await.unwrap().code(), (408, "body_timeout".to_owned()));
    assert!(client.answer().await.is_none(), "the rest can't be distinguished from a request");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_in_flight_is_made_and_answered_after_a_shutdown() {
    let served = Cached::plain().await;
    let mut waiting = half_a_put(&served, "/v1/kv/a").await;
    served.shutdown.cancel();
    let gone = async || tokio::net::TcpStream::connect(served.address).await.is_err();
    wait_until("the end of the listener", SOON, gone).await;
    waiting.send(REST).await;
    assert_eq!(waiting.answer().await.unwrap().status, 201);
    assert!(served.cache.get("a").is_some());
    served.end().await;
}

/// A cache with 15 values of a megabyte, and a request for all of them whose answer nobody reads: no socket takes it.
async fn with_an_unread_answer(service: ServiceOptions, limits: Limits) -> (Cached, Client) {
    let served = Cached::limited(CacheOptions::default(), service, limits).await;
    let keys: Vec<String> = (0..15).map(|n| n.to_string()).collect();
    for key in &keys {
        let value = Value::from("x".repeat(1_000_000).as_str());
        served.cache.put(key, value, None, Condition::Always).await.unwrap();
    }
    let mut deaf = served.client().await;
    deaf.begin("POST", "/v1/kv/batch/get", &[], json!({"keys": keys}).to_string()).await;
    let answered = "evenfold_cache_requests_total{route=\"batch_get\",status=\"2xx\"}";
    wait_until("the answer", SOON, async || served.figure(answered).await == Some(1.0)).await;
    (served, deaf)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_its_place_and_its_bytes_until_it_is_written() {
    let service = ServiceOptions::default().max_inflight(1);
    let (served, mut deaf) = with_an_unread_answer(service, Limits::default()).await;
    let mut client = served.client().await;
    assert_eq!(served.figure(IN_FLIGHT).await, Some(1.0));
    assert!(served.figure(BYTES).await.unwrap() > 15e6 - 2048.0);
    assert_eq!(client.get("/v1/kv/1").await.code(), (503, "too_many_in_flight".to_owned()));
    let whole = deaf.answer().await.unwrap().json();
    let values = whole["results"].as_array().unwrap().iter().map(|result| result["value"].as_str().unwrap().len());
    assert_eq!(values.collect::<Vec<_>>(), [1_000_000; 15], "it is complete");
    wait_until("its place", SOON, async || client.get("/v1/kv/absent").await.status == 404).await;
    assert_eq!(served.figure(BYTES).await, Some(0.0));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_for_long_is_cut_off_and_its_bytes_are_free() {
    let limits = Limits::default().idle(Duration::from_millis(500));
    let (served, mut deaf) = with_an_unread_answer(ServiceOptions::default(), limits).await;
    let free = async || served.figure(BYTES).await == Some(0.0) && served.figure(IN_FLIGHT).await == Some(0.0);
    wait_until("its bytes", SOON, free).await;
    assert!(deaf.answer().await.is_none(), "it was cut off");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_unpacking_takes_is_refused_before_it_is_unpacked() {
    // The answer that nobody reads has 15 of 20 MB. One about 3 MB of zeros has 4, and unpacking takes 6 more.
    let service = ServiceOptions::default().max_inflight_bytes(20_000_000);
    let cache = CacheOptions::default().compress_above_bytes(Some(2_000_000)).max_item_bytes(4_000_000);
    let served = Cached::new(cache, service).await;
    let put = async |key: &str, bytes: Vec<u8>| {
        let value = Value::from(&bytes[..]);
        served.cache.put(key, value, None, Condition::Always).await.unwrap();
    };
    put("zeros", vec![0; 3_000_000]).await;
    let keys: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    for key in &keys {
        put(key, vec![0; 1_000_000]).await;
    }
    let mut client = served.client().await;
    assert_eq!(client.get("/v1/kv/zeros").await.status, 200);
    let mut deaf = served.client().await;
    deaf.begin("POST", "/v1/kv/batch/get", &[], json!({"keys": keys}).to_string()).await;
    wait_until("the answer", SOON, async || served.figure(BYTES).await.unwrap() > 14e6).await;
    assert_eq!(client.get("/v1/kv/zeros").await.code(), (503, "too_many_bytes_in_flight".to_owned()));
    assert_eq!(client.get("/v1/kv/1").await.status, 200, "what is not compressed fits");
    drop(deaf);
    wait_until("its bytes", SOON, async || client.get("/v1/kv/zeros").await.status == 200).await;
    served.end().await;
}
