//! What whoever operates a cache relies on: refusals under load, maintenance, changes of the shards, and the hot one.

use super::{ALWAYS, cache, value};
use evenfold_cache::{Cache, CacheError, CacheOptions, Expiry, Put, Value};
use futures_util::FutureExt;
use futures_util::future::join_all;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_full_mailbox_refuses_and_has_room_again_afterwards() {
    let options = CacheOptions::default().shards(1).max_shard_mailbox(3);
    let cache = Cache::start(options).await.unwrap();
    let mut health = pin!(cache.health(LONG));
    assert!((&mut health).now_or_never().is_none());
    // On this one thread, the actor comes to nothing before these are waited for.
    let (mut one, mut two) =
        (pin!(cache.put("a", 1.into(), None, ALWAYS)), pin!(cache.put("b", 2.into(), None, ALWAYS)));
    assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
    assert_eq!(cache.put("c", 3.into(), None, ALWAYS).now_or_never(), Some(Err(CacheError::Busy)));
    assert_eq!(cache.get("a"), None);
    assert!(one.await.is_ok() && two.await.is_ok());
    assert!(cache.put("d", 4.into(), None, ALWAYS).await.is_ok());
    assert_eq!((value(cache.get("b")), value(cache.get("c"))), (Some(2.into()), None));
}

#[tokio::test]
async fn in_maintenance_what_was_accepted_is_finished_and_nothing_else_begun() {
    let cache = cache(2).await;
    // The actors have something to do, and on this one thread they don't do it before it is waited for.
    let mut health = pin!(cache.health(LONG));
    assert!((&mut health).now_or_never().is_none());
    let mut accepted = pin!(cache.put("a", 1.into(), None, ALWAYS));
    assert!((&mut accepted).now_or_never().is_none());
    let mut drained = pin!(cache.drain());
    assert!((&mut drained).now_or_never().is_none(), "one is not finished");
    assert!(!cache.is_ready());
    assert_eq!(cache.put("b", 1.into(), None, ALWAYS).now_or_never(), Some(Err(CacheError::Maintenance)));
    assert_eq!(cache.delete("a", ALWAYS).now_or_never(), Some(Err(CacheError::Maintenance)));
    assert_eq!(cache.incr("a", 1).now_or_never(), Some(Err(CacheError::Maintenance)));
    drained.await;
    assert_eq!(value(cache.get("a")), Some(1.into()), "what was accepted has been made");
    assert!(accepted.await.is_ok());
    cache.resume();
    assert!(cache.is_ready() && cache.put("b", 1.into(), None, ALWAYS).await.is_ok());
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_any_more_does_not_keep_the_maintenance_waiting() {
    let cache = cache(1).await;
    {
        let mut health = pin!(cache.health(LONG));
        assert!((&mut health).now_or_never().is_none());
        let mut abandoned = pin!(cache.put("a", 1.into(), None, ALWAYS));
        assert!((&mut abandoned).now_or_never().is_none());
    }
    tokio::time::timeout(Duration::from_secs(30), cache.drain()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_misses_and_no_change_is_lost_while_the_number_of_shards_changes() {
    let cache = cache(1).await;
    let done = Arc::new(AtomicBool::new(false));
    for n in 0..200 {
        cache.put(&format!("fixed {n}"), n.into(), None, ALWAYS).await.unwrap();
    }
    let writers = (0..3).map(|writer| {
        let (cache, done) = (cache.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut counts = 0;
            while !done.load(Ordering::Relaxed) || counts < 100 {
                counts += 1;
                let key = format!("{writer} {}", counts % 10);
                let counted = cache.incr(&key, 1).await.unwrap();
                assert!(cache.get(&key).is_some_and(|found| found.version >= counted.version));
                assert!(cache.get(&format!("fixed {}", counts % 200)).is_some());
            }
            counts
        })
    });
    let writers: Vec<_> = writers.collect();
    for shards in [4, 2, 7, 1, 64, 3] {
        cache.resize(shards).await.unwrap();
        assert_eq!(
            cache.health(Duration::from_secs(30)).await.iter().filter(|shard| shard.answers).count(),
            shards as usize
        );
    }
    done.store(true, Ordering::Relaxed);
    for (writer, counts) in join_all(writers).await.into_iter().enumerate() {
        let found = (0..10).map(|n| match value(cache.get(&format!("{writer} {n}"))) {
            Some(Value::Number(number)) => number.as_i64().unwrap(),
            other => panic!("{other:?}"),
        });
        assert_eq!(found.sum::<i64>(), counts.unwrap());
    }
    assert!(matches!(cache.resize(0).await, Err(CacheError::Resize(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_misses_while_the_map_grows_and_shrinks() {
    let cache = cache(2).await;
    for n in 0..100 {
        cache.put(&format!("fixed {n}"), n.into(), None, ALWAYS).await.unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let readers = (0..2).map(|_| {
        let (cache, done) = (cache.clone(), Arc::clone(&done));
        tokio::task::spawn_blocking(move || {
            let mut reads = 0_i64;
            while !done.load(Ordering::Relaxed) || reads < 100 {
                assert_eq!(value(cache.get(&format!("fixed {}", reads % 100))), Some((reads % 100).into()));
                reads += 1;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for round in 0..2 {
        let put =
            |n: i64| Put { key: format!("{round} {n}"), value: n.into(), expiry: Expiry::Never, condition: ALWAYS };
        assert!(cache.put_many((0..20_000).map(put).collect()).await.iter().all(Result::is_ok));
        let deleted = cache.delete_many((0..20_000).map(|n| format!("{round} {n}")).collect()).await;
        assert!(deleted.into_iter().all(|deleted| deleted == Ok(true)));
    }
    done.store(true, Ordering::Relaxed);
    assert!(join_all(readers).await.into_iter().all(|ended| ended.is_ok()));
}
