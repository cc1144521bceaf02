//! A shard's bookkeeping is made anew from the entries, wherever a panic has left it.

use crate::actor::Message;
use crate::expiry::EntryEnd;
use crate::key::CacheKey;
use crate::shard::{CacheShard, Moved};
use crate::shared::Shared;
use crate::{Cache, CacheError, CacheOptions, Condition, Value};
use evenfold_groups::KeyHash;
use evenfold_groups::Shard;
use std::sync::Arc;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(10);

async fn filled(shards: u32) -> Cache {
    let options = CacheOptions { shards, memory_budget_bytes: 1024 * 1024, ..CacheOptions::default() };
    let cache = Cache::start(options).await.unwrap();
    for n in 0..500_i64 {
        let ttl = (n % 2 == 0).then_some(WAIT);
        cache.put(&format!("key:{n}"), n.into(), ttl, Condition::Always).await.unwrap();
    }
    cache
}

/// What the shards believe to have is what there is: entries and bytes.
async fn assert_consistent(cache: &Cache) {
    let health = cache.health(WAIT).await;
    let stats = cache.stats();
    assert!(health.iter().all(|shard| shard.answers), "{health:?}");
    assert_eq!(health.iter().map(|shard| shard.entries).sum::<u64>(), stats.entries);
    assert_eq!(health.iter().map(|shard| shard.bytes).sum::<u64>(), stats.bytes);
}

/// Has every shard panic, after something was done to its state.
async fn panic_in(cache: &Cache, half_way: fn(&mut CacheShard)) {
    for shard in 0..cache.shards() {
        let answer = cache.inner.group.ask_shard(shard, Message::Panic(half_way), WAIT).await;
        assert_eq!(answer.map(drop).map_err(CacheError::from), Err(CacheError::Panicked));
    }
}

#[tokio::test]
async fn after_a_panic_half_way_nothing_is_lost_and_every_byte_is_counted_once() {
    let cache = filled(3).await;
    // Nothing was done; the order was lost; room was taken for an entry that was not put.
    let half_ways: [fn(&mut CacheShard); 3] = [|_| (), CacheShard::forget_all, |shard| shard.take_room(10_000)];
    for (n, half_way) in half_ways.into_iter().enumerate() {
        panic_in(&cache, half_way).await;
        assert_consistent(&cache).await;
        for key in 0..500_i64 {
            assert_eq!(cache.get(&format!("key:{key}")).map(|found| found.value), Some(key.into()), "{n}");
        }
        assert_eq!(
            cache.put("key:1", Value::from(1), None, Condition::IfPresent).await.map(|put| put.created),
            Ok(false)
        );
        assert_eq!(cache.stats().entries, 500);
    }
    for n in 0..500 {
        assert_eq!(cache.delete(&format!("key:{n}"), Condition::Always).await, Ok(true));
    }
    assert_eq!(cache.stats().bytes, 0);
    assert_eq!(cache.stats().shards.iter().map(|shard| shard.panics).sum::<u64>(), 9);
}

#[tokio::test]
async fn what_was_put_with_a_time_to_live_still_expires_after_a_panic() {
    let cache = filled(2).await;
    panic_in(&cache, CacheShard::forget_all).await;
    tokio::time::pause();
    tokio::time::advance(WAIT).await;
    // The keeper sweeps every second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(cache.stats().entries, 250);
    assert_eq!(cache.stats().expired, 250);
    assert_consistent(&cache).await;
}

/// What is on its way is nobody's: the giver must not take it for its own when it recovers, and whoever writes it takes
/// it up if the taker has panicked.
#[tokio::test]
async fn an_entry_that_was_given_and_not_taken_is_taken_up_by_the_next_change() {
    let shared = Arc::new(Shared::new(1024 * 1024, 1));
    let mut giver = CacheShard::new(0, Arc::clone(&shared));
    let key = |n: i64| CacheKey::new(&format!("key:{n}")).unwrap();
    let kept = |n: i64| crate::packed::Kept::Plain(n.into());
    for n in 0..10 {
        giver.put(key(n), kept(n), EntryEnd::NEVER, Condition::Always).unwrap();
    }
    let used = shared.budget.used();
    let on_its_way: Vec<(KeyHash, Moved)> = giver.give_away(&|_| true);
    assert_eq!((on_its_way.len(), giver.bytes(), shared.budget.used()), (10, 0, used));
    giver.recover().await;
    assert_eq!((giver.entries(), giver.bytes(), shared.budget.used()), (0, 0, used));
    let mut taker = CacheShard::new(1, Arc::clone(&shared));
    for n in 0..10 {
        assert_eq!(
            taker.put(key(n), kept(-n), EntryEnd::NEVER, Condition::IfPresent).map(|put| put.created),
            Ok(false)
        );
    }
    assert_eq!((taker.entries(), taker.bytes(), shared.budget.used()), (10, used, used));
}
