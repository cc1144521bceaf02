//! The memory budget, under changes that come in any order.

use evenfold_cache::{Cache, CacheError, CacheOptions, Condition, MIN_MEMORY_BUDGET, Value};
use evenfold_groups::KeyHash;
use proptest::prelude::*;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::{Instant, advance};

const SOON: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
enum Step {
    Put { key: u8, bytes: usize, ttl: Option<u64> },
    Delete(u8),
    Incr(u8),
    Wait(u64),
    Resize(u32),
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly so large that a few dozen fill the budget.
    let bytes = prop_oneof![0_usize..100, 10_000_usize..60_000, 200_000_usize..1_200_000];
    let put = (0_u8..60, bytes, proptest::option::of(1_u64..2_000));
    prop_oneof![
        12 => put.prop_map(|(key, bytes, ttl)| Step::Put { key, bytes, ttl }),
        2 => (0_u8..60).prop_map(Step::Delete),
        1 => (0_u8..60).prop_map(Step::Incr),
        1 => (1_u64..1_500).prop_map(Step::Wait),
        1 => (1_u32..9).prop_map(Step::Resize),
    ]
}

/// What may be found: the last value, until it is over.
type Model = HashMap<u8, (Value, Option<Instant>)>;

async fn take(cache: &Cache, model: &mut Model, step: Step) {
    match step {
        Step::Put { key, bytes, ttl } => {
            let value = Value::from("x".repeat(bytes).as_str());
            let ttl = ttl.map(Duration::from_millis);
            match cache.put(&key.to_string(), value.clone(), ttl, Condition::Always).await {
                Ok(_) => drop(model.insert(key, (value, ttl.map(|ttl| Instant::now() + ttl)))),
                Err(CacheError::NoRoom { .. } | CacheError::TooLarge { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        Step::Delete(key) => {
            cache.delete(&key.to_string(), Condition::Always).await.unwrap();
            model.remove(&key);
        }
        Step::Incr(key) => {
            if let Ok(counted) = cache.incr(&key.to_string(), 1).await {
                // Whether it had been evicted, and so has no time to live, only the cache knows.
                let ttl = cache.get(&key.to_string()).and_then(|found| found.expires_in);
                model.insert(key, (counted.value.into(), ttl.map(|ttl| Instant::now() + ttl)));
            }
        }
        Step::Wait(ms) => advance(Duration::from_millis(ms)).await,
        Step::Resize(shards) => cache.resize(shards).await.unwrap(),
    }
}

fn check(cache: &Cache, model: &Model) {
    let stats = cache.stats();
    assert!(stats.bytes <= stats.budget, "{stats:?}");
    for (key, (value, ttl)) in model {
        if let Some(found) = cache.get(&key.to_string()) {
            assert_eq!(found.value, *value, "{key}");
            assert!(ttl.is_none_or(|at| at > Instant::now()), "{key} is over");
        }
    }
}

/// What the shards count is what there is. Between the answers of the shards and what is compared with them, entries
/// whose time is over may go: then it is compared again.
async fn balance(cache: &Cache) {
    let mut last = None;
    for _ in 0..100 {
        let (health, stats) = (cache.health(SOON).await, cache.stats());
        let counted: (u64, u64) = health.iter().fold((0, 0), |sum, shard| (sum.0 + shard.entries, sum.1 + shard.bytes));
        if counted == (stats.entries, stats.bytes) {
            return;
        }
        last = Some((health, stats));
    }
    panic!("{last:?}");
}

async fn run(steps: Vec<Step>) {
    let options = CacheOptions::default().shards(2).memory_budget_bytes(MIN_MEMORY_BUDGET);
    let cache = Cache::start(options).await.unwrap();
    let mut model = Model::new();
    for step in steps {
        take(&cache, &mut model, step).await;
        check(&cache, &model);
    }
    balance(&cache).await;
    for key in 0..60_u8 {
        cache.delete(&key.to_string(), Condition::Always).await.unwrap();
    }
    assert_eq!((cache.stats().bytes, cache.stats().entries), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn the_budget_is_never_exceeded_after_any_change_and_nothing_old_is_found(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(steps));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_budget_is_never_exceeded_while_many_put_and_the_number_of_shards_changes() {
    let options = CacheOptions::default().shards(4).memory_budget_bytes(MIN_MEMORY_BUDGET);
    let cache = Cache::start(options).await.unwrap();
    let writers: Vec<_> = (0..4_usize)
        .map(|writer| {
            let cache = cache.clone();
            tokio::spawn(async move {
                for n in 0..2_000_usize {
                    let value = Value::from("x".repeat((n * 37 + writer) % 5_000).as_str());
                    match cache.put(&format!("{writer} {}", n % 500), value, None, Condition::Always).await {
                        // While shards change, one may be within its share and yet find no room.
                        Ok(_) | Err(CacheError::NoRoom { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                    let stats = cache.stats();
                    assert!(stats.bytes <= stats.budget, "{stats:?}");
                }
            })
        })
        .collect();
    for shards in [7, 2, 16, 1, 3] {
        cache.resize(shards).await.unwrap();
    }
    assert!(futures_util::future::join_all(writers).await.into_iter().all(|ended| ended.is_ok()));
    assert!(cache.stats().evicted > 0);
    balance(&cache).await;
}

#[tokio::test]
async fn what_can_never_fit_is_refused_and_nothing_is_evicted_for_it() {
    let options = CacheOptions::default().shards(4).memory_budget_bytes(MIN_MEMORY_BUDGET);
    let cache = Cache::start(options).await.unwrap();
    cache.put("small", 1.into(), None, Condition::Always).await.unwrap();
    let value = Value::from("x".repeat(300_000).as_str());
    let refused = cache.put("large", value.clone(), None, Condition::Always).await;
    assert!(matches!(refused, Err(CacheError::NoRoom { limit: 262_144, .. })), "{refused:?}");
    assert_eq!((cache.stats().evicted, cache.stats().entries), (0, 1));
    cache.resize(1).await.unwrap();
    assert!(cache.put("large", value, None, Condition::Always).await.is_ok());
}

#[tokio::test]
async fn no_shard_has_more_than_its_share_however_uneven_the_keys_are() {
    let options = CacheOptions::default().shards(4).memory_budget_bytes(MIN_MEMORY_BUDGET);
    let cache = Cache::start(options).await.unwrap();
    let shards = NonZeroU32::new(4).unwrap();
    let of_one_shard = (0..).map(|n| format!("k{n}")).filter(|key| KeyHash::from(key).shard(shards) == 2);
    for key in of_one_shard.take(500) {
        cache.put(&key, "x".repeat(1_000).as_str().into(), None, Condition::Always).await.unwrap();
        assert!(cache.stats().bytes <= MIN_MEMORY_BUDGET / 4);
    }
    assert!(cache.stats().bytes > MIN_MEMORY_BUDGET / 4 - 2_000, "and all of its share");
}

#[tokio::test(start_paused = true)]
async fn a_smaller_share_is_kept_within_seconds_though_nobody_writes() {
    let options = CacheOptions::default().shards(1).memory_budget_bytes(MIN_MEMORY_BUDGET);
    let cache = Cache::start(options).await.unwrap();
    let shards = NonZeroU32::new(8).unwrap();
    let stays = (0..).map(|n| format!("k{n}")).filter(|key| KeyHash::from(key).shard(shards) == 0);
    for key in stays.take(500) {
        cache.put(&key, "x".repeat(1_000).as_str().into(), None, Condition::Always).await.unwrap();
    }
    cache.resize(8).await.unwrap();
    // The clock goes on by itself while all wait.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(cache.stats().bytes <= MIN_MEMORY_BUDGET / 8, "{:?}", cache.stats());
    balance(&cache).await;
}
