//! The cache, by what each call promises.

mod checker;
mod histories;
mod linearizable;
mod load;
mod memory;
mod never_too_much;
mod operation;
mod relief;
mod times;

use evenfold_cache::{Cache, CacheError, CacheOptions, CachedValue, Condition, Expiry, MAX_TTL, Put, Value};
use futures_util::future::join_all;
use std::time::Duration;

const ALWAYS: Condition = Condition::Always;

async fn cache(shards: u32) -> Cache {
    Cache::start(CacheOptions::default().shards(shards)).await.unwrap()
}

fn value(found: Option<CachedValue>) -> Option<Value> {
    found.map(|found| found.value)
}

#[tokio::test]
async fn a_value_that_was_put_is_found_until_it_is_deleted() {
    let cache = cache(3).await;
    let json = Value::from_json("{\"a\": [1, 2.50]}").unwrap();
    let values = ["text".into(), (-5).into(), true.into(), json, (&[0_u8, 255][..]).into(), "".into()];
    for (n, put) in values.into_iter().enumerate() {
        let key = format!("key {n}");
        assert_eq!(cache.get(&key), None);
        let first = cache.put(&key, put.clone(), None, ALWAYS).await.unwrap();
        let second = cache.put(&key, put.clone(), None, ALWAYS).await.unwrap();
        assert!(first.created && !second.created && second.version > first.version);
        assert_eq!(cache.get(&key), Some(CachedValue { value: put, version: second.version, expires_in: None }));
        assert_eq!(cache.delete(&key, ALWAYS).await, Ok(true));
        assert_eq!(cache.delete(&key, ALWAYS).await, Ok(false));
        assert_eq!(cache.get(&key), None);
    }
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.entries, stats.bytes), (6, 12, 0, 0));
}

#[tokio::test]
async fn two_caches_in_one_process_have_nothing_in_common() {
    let (one, two) = (cache(1).await, cache(2).await);
    one.put("k", 1.into(), None, ALWAYS).await.unwrap();
    assert_eq!(two.get("k"), None);
    one.clone().stop().await;
    assert_eq!(one.put("k", 2.into(), None, ALWAYS).await, Err(CacheError::Stopped));
    assert_eq!(value(one.get("k")), Some(1.into()), "what it has can still be read");
    assert!(two.put("k", 2.into(), None, ALWAYS).await.is_ok());
}

#[tokio::test]
async fn a_change_is_made_only_if_its_condition_holds() {
    let cache = cache(2).await;
    let put = async |condition| cache.put("k", 1.into(), None, condition).await.map(|stored| stored.version);
    let conflict = |current| Err(CacheError::Conflict { current });
    assert_eq!(put(Condition::IfPresent).await, conflict(None));
    assert_eq!(put(Condition::IfVersion(1)).await, conflict(None));
    let first = put(Condition::IfAbsent).await.unwrap();
    assert_eq!(put(Condition::IfAbsent).await, conflict(Some(first)));
    let second = put(Condition::IfVersion(first)).await.unwrap();
    assert_eq!(put(Condition::IfVersion(first)).await, conflict(Some(second)));
    assert_eq!(cache.delete("k", Condition::IfVersion(first)).await.map(drop), conflict(Some(second)).map(drop));
    assert_eq!(cache.delete("k", Condition::IfVersion(second)).await, Ok(true));
    let again = put(Condition::IfAbsent).await.unwrap();
    assert!(again > second, "a version does not come back with its key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_replace_the_same_version_exactly_one_does() {
    let cache = cache(2).await;
    let mut version = cache.put("k", 0.into(), None, ALWAYS).await.unwrap().version;
    for round in 1..=100 {
        let racers = (0..8).map(|racer| {
            let cache = cache.clone();
            let change =
                async move { cache.put("k", (round * 10 + racer).into(), None, Condition::IfVersion(version)).await };
            tokio::spawn(change)
        });
        let outcomes: Vec<_> = join_all(racers).await.into_iter().map(Result::unwrap).collect();
        let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        version = won[0].version;
        let lost = Err(CacheError::Conflict { current: Some(version) });
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == lost).count(), 7, "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_count_of_many_tasks_is_lost() {
    let cache = cache(4).await;
    let counts = (0..8).map(|_| {
        let cache = cache.clone();
        tokio::spawn(async move {
            for _ in 0..500 {
                cache.incr("k", 1).await.unwrap();
            }
        })
    });
    assert!(join_all(counts).await.into_iter().all(|ended| ended.is_ok()));
    assert_eq!(value(cache.get("k")), Some(4000.into()));
}

#[tokio::test]
async fn keys_values_and_times_to_live_outside_their_limits_are_refused() {
    let options = CacheOptions::default().shards(1).max_item_bytes(10);
    let cache = Cache::start(options).await.unwrap();
    let put = async |key: &str, value: &str, ttl| cache.put(key, value.into(), ttl, ALWAYS).await.map(|_| ());
    assert_eq!(put("", "", None).await, Err(CacheError::KeyEmpty));
    assert_eq!(put(&"k".repeat(513), "", None).await, Err(CacheError::KeyTooLong { bytes: 513 }));
    assert_eq!(put("a\tb", "", None).await, Err(CacheError::KeyNotAllowed { character: '\t' }));
    assert_eq!(cache.delete("", ALWAYS).await, Err(CacheError::KeyEmpty));
    assert_eq!(cache.incr("", 1).await, Err(CacheError::KeyEmpty));
    assert_eq!(cache.get(""), None);
    assert_eq!(put(&"k".repeat(512), "0123456789", None).await, Ok(()));
    assert_eq!(put("k", "0123456789a", None).await, Err(CacheError::TooLarge { bytes: 11, limit: 10 }));
    for ttl in [Duration::ZERO, Duration::from_nanos(999_999), MAX_TTL + Duration::from_nanos(1)] {
        assert_eq!(put("k", "", Some(ttl)).await, Err(CacheError::TtlOutOfRange));
    }
    assert_eq!(put("k", "", Some(MAX_TTL)).await, Ok(()));
}

#[tokio::test]
async fn many_at_once_have_an_outcome_each_and_keep_the_order_of_one_key() {
    let options = CacheOptions::default().shards(3).max_shard_mailbox(64);
    let cache = Cache::start(options).await.unwrap();
    let put = |n: i64| {
        let key = if n == 7 { String::new() } else { format!("k{}", n % 100) };
        Put {
            key,
            value: n.into(),
            expiry: Expiry::Never,
            condition: if n < 200 { ALWAYS } else { Condition::IfAbsent },
        }
    };
    let outcomes = cache.put_many((0..300).map(put).collect()).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        let made = match n {
            7 => *outcome == Err(CacheError::KeyEmpty),
            0..200 => outcome.as_ref().is_ok_and(|stored| stored.created == (n < 100 || n == 107)),
            _ => matches!(outcome, Err(CacheError::Conflict { current: Some(_) })),
        };
        assert!(made, "{n}: {outcome:?}");
    }
    let keys: Vec<String> = (0..101).map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (n, found) in (0..).zip(cache.get_many(&keys)) {
        assert_eq!(value(found), (n < 100).then(|| (n + 100).into()), "{n}");
    }
    let deleted = cache.delete_many(vec!["k1".into(), "none".into(), "k1".into(), "k2".into()]).await;
    assert_eq!(deleted, [Ok(true), Ok(false), Ok(false), Ok(true)]);
}

#[tokio::test]
async fn compressed_values_come_back_and_take_up_less() {
    let options = CacheOptions::default().shards(1).compress_above_bytes(Some(1_000));
    let (packed, plain) = (Cache::start(options).await.unwrap(), cache(1).await);
    let text = "abcdefgh".repeat(10_000);
    let json = Value::from_json(&format!("[{}1]", "1, ".repeat(10_000))).unwrap();
    for value in [text.as_str().into(), json, text.as_bytes().into(), "small".into()] {
        for cache in [&packed, &plain] {
            cache.put("k", value.clone(), None, ALWAYS).await.unwrap();
            assert_eq!(cache.get("k").unwrap().value, value);
        }
        let (packed, plain) = (packed.stats().bytes, plain.stats().bytes);
        assert!(if value.len() > 1_000 { packed * 10 < plain } else { packed == plain }, "{packed} {plain}");
    }
}
