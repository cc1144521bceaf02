//! More shards where one is hot because of many keys, and only there.

use super::ALWAYS;
use super::load::{Log, keys_of, pass};
use evenfold_cache::{Cache, CacheOptions, Condition};
use std::time::Duration;

async fn cache(options: CacheOptions) -> Cache {
    Cache::start(options.shards(4).max_item_bytes(1_000)).await.unwrap()
}

/// Changes these keys by turns, some 5,000 times a second for so many seconds.
async fn change(cache: &Cache, keys: &[String], seconds: usize) {
    let mut keys = keys.iter().cycle();
    for _ in 0..seconds {
        for key in keys.by_ref().take(5_000) {
            cache.put(key, 1.into(), None, ALWAYS).await.unwrap();
        }
        pass(1).await;
    }
}

fn many() -> Vec<String> {
    keys_of(0, 4).take(500).collect()
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_hot_because_of_many_keys_is_relieved_by_itself_and_the_log_says_why_once() {
    let log = Log::default();
    let _logging = log.begin();
    let cache = cache(CacheOptions::default().max_shards(Some(10))).await;
    change(&cache, &many(), 9).await;
    assert_eq!(cache.shards(), 4, "ten seconds have not passed");
    change(&cache, &many(), 5).await;
    assert_eq!((cache.shards(), cache.stats().auto_shards_changes), (8, 1));
    let lines = log.lines("there are 8 shards instead of 4");
    assert!(lines.len() == 1 && lines[0].contains("shard 0 was hot: it had 100 % of all changes"), "{lines:?}");
    let entries = cache.health(Duration::from_secs(1)).await.into_iter().map(|shard| shard.entries);
    let entries: Vec<u64> = entries.collect();
    assert!((200..300).contains(&entries[0]) && entries[4..].iter().all(|moved| *moved > 30), "{entries:?}");
    change(&cache, &many(), 50).await;
    assert_eq!(cache.shards(), 8, "a minute has not passed, though the shard has half of all changes");
    change(&cache, &many(), 80).await;
    assert_eq!((cache.shards(), cache.stats().auto_shards_changes), (10, 2), "there are no more than the limit");
    assert_eq!(log.lines("instead of").len(), 2);
    assert!(cache.stats().hot.iter().all(|hot| hot.key.is_none()));
    for key in many() {
        assert!(cache.get(&key).is_some(), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_key_reads_and_load_that_is_even_bring_about_no_more_shards() {
    let cache = cache(CacheOptions::default()).await;
    change(&cache, &["one".to_owned()], 15).await;
    assert!(cache.stats().hot[0].key.is_some());
    for _ in 0..15 {
        for key in many().iter().cycle().take(10_000) {
            let _found = cache.get(key);
        }
        pass(1).await;
    }
    assert_eq!(cache.stats().hot.len(), 1, "it is hot by reads");
    let even: Vec<String> = (0..1_000).map(|n| format!("key {n}")).collect();
    change(&cache, &even, 15).await;
    assert_eq!((cache.shards(), cache.stats().auto_shards_changes), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn where_it_is_off_or_at_its_limit_the_number_of_shards_stays() {
    for options in [CacheOptions::default().auto_shards(false), CacheOptions::default().max_shards(Some(4))] {
        let cache = cache(options.clone()).await;
        change(&cache, &many(), 15).await;
        let stats = cache.stats();
        assert_eq!((stats.shards.len(), stats.auto_shards_changes, stats.hot.len()), (4, 0, 1));
        assert_eq!(stats.auto_shards, options.auto_shards);
    }
}

#[tokio::test(start_paused = true)]
async fn a_minute_passes_after_a_change_that_somebody_else_has_made() {
    let cache = cache(CacheOptions::default()).await;
    change(&cache, &many(), 5).await;
    cache.resize(3).await.unwrap();
    let keys: Vec<String> = keys_of(0, 3).take(500).collect();
    change(&cache, &keys, 55).await;
    assert_eq!(cache.shards(), 3);
    change(&cache, &keys, 10).await;
    assert_eq!(cache.shards(), 6);
}

#[tokio::test(start_paused = true)]
async fn the_largest_value_can_be_put_however_many_shards_there_are_for_a_hot_one() {
    let options = CacheOptions::default().memory_budget_bytes(1024 * 1024).max_item_bytes(30_000).shards(4);
    let cache = Cache::start(options.max_shards(Some(1_000))).await.unwrap();
    change(&cache, &many(), 150).await;
    assert!((5..9).contains(&cache.shards()), "{}", cache.shards());
    let largest = "x".repeat(30_000);
    for n in 0..100 {
        let put = cache.put(&format!("{n}"), largest.as_str().into(), None, Condition::IfAbsent).await;
        assert!(put.is_ok(), "{put:?}");
    }
}
