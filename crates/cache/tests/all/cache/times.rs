//! Times to live, by a clock that the tests move.

use super::{ALWAYS, cache};
use evenfold_cache::{
    Cache, CacheError, CacheOptions, Condition, Expiry, Incremented, MAX_TTL, MIN_MEMORY_BUDGET, MIN_TTL, Value,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn counting_keeps_the_time_to_live_and_takes_only_whole_numbers() {
    let cache = cache(1).await;
    assert!(matches!(cache.incr("new", -3).await, Ok(Incremented { value: -3, .. })));
    cache.put("k", i64::MAX.into(), Some(Duration::from_secs(2)), ALWAYS).await.unwrap();
    assert_eq!(cache.incr("k", 1).await, Err(CacheError::Overflow));
    advance(Duration::from_secs(1)).await;
    assert_eq!(cache.incr("k", -1).await.map(|counted| counted.value), Ok(i64::MAX - 1));
    assert_eq!(cache.get("k").unwrap().expires_in, Some(Duration::from_secs(1)));
    advance(Duration::from_secs(1)).await;
    assert_eq!(cache.incr("k", 5).await.map(|counted| counted.value), Ok(5), "what is over counts as absent");
    assert_eq!(cache.get("k").unwrap().expires_in, None);
    for other in ["1".into(), true.into(), Value::from_json("1.5").unwrap(), Value::from_json("null").unwrap()] {
        cache.put("k", other, None, ALWAYS).await.unwrap();
        assert_eq!(cache.incr("k", 1).await, Err(CacheError::NotANumber));
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_over_to_the_millisecond() {
    let cache = cache(1).await;
    for ttl in [MIN_TTL, Duration::from_millis(1_234), MAX_TTL] {
        cache.put("k", 1.into(), Some(ttl), ALWAYS).await.unwrap();
        assert_eq!(cache.get("k").unwrap().expires_in, Some(ttl));
        advance(ttl.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(cache.get("k").unwrap().expires_in, Some(Duration::from_millis(1)), "{ttl:?}");
        advance(Duration::from_millis(1)).await;
        assert_eq!(cache.get("k"), None, "{ttl:?}");
        assert!(cache.put("k", 1.into(), None, Condition::IfAbsent).await.unwrap().created, "{ttl:?}");
        cache.delete("k", ALWAYS).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_replaces_the_time_to_live() {
    let cache = cache(1).await;
    let (short, long) = (Duration::from_millis(100), Duration::from_millis(300));
    cache.put("longer", 1.into(), Some(short), ALWAYS).await.unwrap();
    cache.put("longer", 1.into(), Some(long), ALWAYS).await.unwrap();
    cache.put("for ever", 1.into(), Some(short), ALWAYS).await.unwrap();
    cache.put("for ever", 1.into(), None, ALWAYS).await.unwrap();
    cache.put("shorter", 1.into(), Some(long), ALWAYS).await.unwrap();
    cache.put("shorter", 1.into(), Some(short), ALWAYS).await.unwrap();
    advance(Duration::from_millis(200)).await;
    let there = |key| cache.get(key).is_some();
    assert_eq!((there("longer"), there("for ever"), there("shorter")), (true, true, false));
    advance(Duration::from_millis(200)).await;
    assert_eq!((there("longer"), there("for ever")), (false, true));
}

#[tokio::test(start_paused = true)]
async fn expired_entries_take_up_no_memory_for_longer_than_a_second_or_two_though_nobody_writes() {
    let cache = cache(2).await;
    for n in 0..5_000_i64 {
        let ttl = Duration::from_millis(if n < 4_000 { 500 } else { 60_000 });
        cache.put(&format!("k{n}"), n.into(), Some(ttl), ALWAYS).await.unwrap();
    }
    let before = cache.stats();
    assert_eq!((before.entries, before.expired), (5_000, 0));
    // The clock goes on by itself while all wait.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = cache.stats();
    assert_eq!((after.entries, after.expired, after.evicted), (1_000, 4_000, 0));
    assert!(after.bytes * 4 < before.bytes, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn expired_entries_make_room_before_anything_is_evicted() {
    let options = CacheOptions::default().shards(1).memory_budget_bytes(MIN_MEMORY_BUDGET);
    let cache = Cache::start(options).await.unwrap();
    let large = |bytes: usize| Value::from("x".repeat(bytes).as_str());
    cache.put("stays", large(90_000), None, ALWAYS).await.unwrap();
    for n in 0..8 {
        cache.put(&format!("k{n}"), large(72_000), Some(Duration::from_millis(10)), ALWAYS).await.unwrap();
    }
    advance(Duration::from_millis(10)).await;
    cache.put("new", large(702_000), None, ALWAYS).await.unwrap();
    assert!(cache.get("stays").is_some());
    assert_eq!((cache.stats().expired, cache.stats().evicted), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_there_until_the_moment_that_was_given_and_every_read_shows_that_moment() {
    let cache = cache(1).await;
    let moment = SystemTime::now() + Duration::from_secs(100);
    cache.put("k", 1.into(), Expiry::At(moment), ALWAYS).await.unwrap();
    cache.put("ever", 1.into(), Expiry::Never, ALWAYS).await.unwrap();
    assert_eq!(cache.describe("ever").unwrap().expires_at, None);
    let left = cache.get("k").unwrap().expires_in.unwrap();
    assert!(left.abs_diff(Duration::from_secs(100)) < Duration::from_secs(5), "{left:?}");
    assert_eq!(cache.describe("k").unwrap().expires_at, Some(moment));
    assert_eq!(cache.incr("k", 1).await.map(|counted| counted.value), Ok(2));
    assert_eq!(cache.describe("k").unwrap().expires_at, Some(moment), "counting leaves it as it is");
    advance(left.saturating_sub(Duration::from_millis(1))).await;
    assert!(cache.get("k").is_some());
    advance(Duration::from_millis(1)).await;
    assert!(cache.describe("k").is_none());
    for passed in [moment - Duration::from_hours(1), SystemTime::UNIX_EPOCH, moment + MAX_TTL * 2] {
        assert_eq!(cache.put("k", 1.into(), Expiry::At(passed), ALWAYS).await, Err(CacheError::TtlOutOfRange));
    }
}

#[tokio::test]
async fn a_described_entry_has_its_bytes_and_is_read_like_any_other() {
    let cache = Cache::start(CacheOptions::default().compress_above_bytes(Some(100))).await.unwrap();
    let long = "again and again ".repeat(100);
    cache.put("long", long.as_str().into(), None, ALWAYS).await.unwrap();
    let all = cache.stats().bytes;
    let described = cache.describe("long").unwrap();
    assert_eq!((described.hit.value_bytes(), described.memory_bytes), (1_600, all));
    assert!(described.hit.plain().is_none() && all < 1_000, "it is compressed");
    assert!(cache.describe("none").is_none());
    assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_description_is_of_the_entry_whose_value_it_comes_with_while_others_replace_it() {
    let cache = cache(1).await;
    cache.put("k", "".into(), None, ALWAYS).await.unwrap();
    let short = cache.describe("k").unwrap().memory_bytes;
    let done = Arc::new(AtomicBool::new(false));
    let (reader, ended) = (cache.clone(), Arc::clone(&done));
    let reader = tokio::task::spawn_blocking(move || {
        let mut kinds = [0_u64; 2];
        while !ended.load(Ordering::Relaxed) {
            let described = reader.describe("k").unwrap();
            let long = described.hit.value_bytes() > 0;
            assert_eq!((described.memory_bytes > short, described.expires_at.is_some()), (long, long), "{described:?}");
            kinds[usize::from(long)] += 1;
        }
        kinds
    });
    let long = Value::from("x".repeat(1_000).as_str());
    for _ in 0..20_000 {
        cache.put("k", long.clone(), Some(MAX_TTL), ALWAYS).await.unwrap();
        cache.put("k", "".into(), None, ALWAYS).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let kinds = reader.await.unwrap();
    assert!(kinds.iter().all(|seen| *seen > 0), "{kinds:?}");
}
