//! What is known about the load of the last ten seconds: hot shards, hot keys, and the balance.

use super::{ALWAYS, cache};
use evenfold_cache::{Cache, HotKey};
use evenfold_groups::KeyHash;
use std::io::Write;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Somewhat more than the time between two looks at the load. The clock goes on by itself while all wait.
pub(super) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_millis(seconds * 1_000 + 1)).await;
}

/// Keys of one shard, of so many.
pub(super) fn keys_of(shard: u32, shards: u32) -> impl Iterator<Item = String> {
    let shards = NonZeroU32::new(shards).unwrap();
    (0..100_000).map(|n| format!("key {n}")).filter(move |key| KeyHash::from(key).shard(shards) == shard)
}

fn hot_keys(cache: &Cache) -> Vec<(u32, Option<HotKey>)> {
    cache.stats().hot.into_iter().map(|hot| (hot.shard, hot.key)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_hot_because_of_one_key_names_its_hash_and_rate_for_ten_seconds() {
    let cache = cache(4).await;
    cache.put("hot", 1.into(), None, ALWAYS).await.unwrap();
    pass(1).await;
    assert_eq!(cache.stats().hot, []);
    for n in 0..100_000 {
        assert!(cache.get("hot").is_some());
        if n % 4 == 0 {
            assert!(cache.get(&format!("other {n}")).is_none());
        }
    }
    pass(9).await;
    let hot = cache.stats().hot;
    let key = hot[0].key.unwrap();
    assert_eq!(hot.len(), 1);
    assert_eq!(hot[0].shard, KeyHash::from("hot").shard(NonZeroU32::new(4).unwrap()));
    assert!((0.8..0.9).contains(&hot[0].share), "{hot:?}");
    assert_eq!(key.hash, KeyHash::from("hot").value());
    // 100,000 in ten seconds.
    assert!((9_000.0..11_000.0).contains(&key.per_second), "{key:?}");
    pass(4).await;
    assert_eq!(cache.stats().hot, [], "that was more than ten seconds ago");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_hot_because_of_many_keys_names_none() {
    let cache = cache(4).await;
    pass(1).await;
    let keys: Vec<String> = keys_of(2, 4).take(100).collect();
    for key in keys.iter().cycle().take(50_000) {
        assert!(cache.get(key).is_none());
    }
    for key in keys.iter().cycle().take(5_000) {
        cache.put(key, 1.into(), None, ALWAYS).await.unwrap();
    }
    pass(1).await;
    assert_eq!(hot_keys(&cache), [(2, None)]);
}

#[tokio::test(start_paused = true)]
async fn the_balance_after_a_resize_is_that_of_what_came_since() {
    let cache = cache(2).await;
    let keys: Vec<String> = (0..1_000).map(|n| format!("key {n}")).collect();
    let one: Vec<String> = keys_of(1, 2).take(100).collect();
    let put = async |keys: &[String], times: usize| {
        for key in keys.iter().cycle().take(times) {
            cache.put(key, 1.into(), None, ALWAYS).await.unwrap();
        }
    };
    pass(1).await;
    put(&one, 20_000).await;
    pass(1).await;
    assert_eq!(cache.stats().imbalance, Some(2.0));
    cache.resize(4).await.unwrap();
    assert_eq!((cache.stats().imbalance, hot_keys(&cache)), (None, vec![]), "nothing is known about these shards");
    assert!(cache.stats().shards.iter().all(|shard| shard.per_second.is_none()));
    pass(1).await;
    assert_eq!(cache.stats().imbalance, None);
    put(&keys, 50_000).await;
    pass(1).await;
    let stats = cache.stats();
    assert!(stats.imbalance.unwrap() < 1.2, "{stats:?}");
    assert!(stats.shards.iter().all(|shard| shard.per_second.unwrap() > 5_000.0), "{stats:?}");
}

/// What is logged in this thread.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Lines with this text.
    pub(super) fn lines(&self, text: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// From now on, until what is returned is dropped.
    pub(super) fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl Write for Log {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(part)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_is_in_the_log_once_by_its_hash_and_never_by_its_name() {
    let log = Log::default();
    let _logging = log.begin();
    let cache = cache(4).await;
    cache.put("secret name", 1.into(), None, ALWAYS).await.unwrap();
    pass(1).await;
    for _ in 0..20 {
        for _ in 0..20_000 {
            assert!(cache.get("secret name").is_some());
        }
        pass(1).await;
    }
    let lines = log.lines("hot");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let hash = format!("{:016x}", KeyHash::from("secret name").value());
    assert!(lines[0].contains("because of one key") && lines[0].contains(&hash), "{lines:?}");
    assert_eq!(log.lines("secret name"), [""; 0]);
}
