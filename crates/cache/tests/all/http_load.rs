//! What an operator sees of the load, and of what was refused.

use crate::support::{Cached, SOON, wait_until};
use evenfold_cache::http::ServiceOptions;
use evenfold_cache::{CacheOptions, Condition};
use evenfold_groups::KeyHash;
use evenfold_http::{ApiToken, Auth};
use std::num::NonZeroU32;

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_shard_and_the_hash_of_its_key_are_in_the_metrics() {
    let served = Cached::new(CacheOptions::default().shards(4), ServiceOptions::default()).await;
    let shard = KeyHash::from("popular").shard(NonZeroU32::new(4).unwrap());
    let hash = KeyHash::from("popular").value();
    let key = format!("evenfold_cache_hot_key_load{{shard=\"{shard}\",key_hash=\"{hash:016x}\"}}");
    served.cache.put("popular", 1.into(), None, Condition::Always).await.unwrap();
    wait_until("the key", SOON, async || {
        assert!((0..10_000).all(|_| served.cache.get("popular").is_some()));
        served.figure(&key).await.is_some_and(|load| load > 1_000.0)
    })
    .await;
    let figure = async |name: &str| served.figure(&format!("evenfold_cache_{name}{{shard=\"{shard}\"}}")).await;
    assert!(figure("hot_shard_share").await.unwrap() > 0.9);
    assert!(figure("shard_load").await.unwrap() > 1_000.0);
    assert!(served.figure("evenfold_cache_shard_imbalance_ratio").await.unwrap() > 3.0);
    let metrics = served.client().await.get("/metrics").await.body;
    assert!(!metrics.contains("popular"), "no key is shown by its name");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_refusals_by_cause_and_failed_authentications_are_counted_each() {
    let auth = Auth { token: ApiToken::new("secret").unwrap(), reads: true };
    let served = Cached::new(CacheOptions::default(), ServiceOptions::default().auth(Some(auth))).await;
    let mut client = served.client().await;
    let (right, wrong) = (("x-api-token", "secret"), ("x-api-token", "guess"));
    let ask = [
        ("GET", vec![wrong]),
        ("GET", vec![]),
        ("PUT", vec![wrong]),
        ("PUT", vec![right]),
        ("PUT", vec![right, ("if-none-match", "*")]),
        ("PUT", vec![right, ("if-match", "\"9\"")]),
        ("DELETE", vec![right, ("if-match", "\"9\"")]),
    ];
    for (method, headers) in ask {
        client.ask(method, "/v1/kv/a", &headers, r#"{"value":1}"#).await;
    }
    client.ask("POST", "/v1/admin/drain", &[right], "").await;
    client.ask("PUT", "/v1/kv/a", &[right], r#"{"value":1}"#).await;
    let refused = async |code: &str| served.figure(&format!("evenfold_cache_refusals_total{{code=\"{code}\"}}")).await;
    assert_eq!(refused("unauthorized").await, Some(3.0));
    assert_eq!(refused("precondition_failed").await, Some(3.0));
    assert_eq!(refused("maintenance").await, Some(1.0));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_of_a_batch_is_counted_by_its_cause_also_where_the_rest_was_done() {
    let options = CacheOptions::default().shards(1).memory_budget_bytes(1024 * 1024).max_item_bytes(4 * 1024 * 1024);
    let served = Cached::new(options, ServiceOptions::default()).await;
    let mut client = served.client().await;
    let large = "x".repeat(2 * 1024 * 1024);
    let set = format!(r#"{{"entries":[{{"key":"a","value":1}},{{"key":"b","value":"{large}"}}]}}"#);
    let set = client.post("/v1/kv/batch/set", set).await;
    assert_eq!((set.status, &set.json()["results"][1]["error"]["code"]), (200, &"no_room".into()));
    assert_eq!(served.figure("evenfold_cache_refusals_total{code=\"no_room\"}").await, Some(1.0));
    served.end().await;
}
