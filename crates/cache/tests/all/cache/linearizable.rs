//! Each key behaves as if its changes and reads were made one after another, also while shards come and go.

use super::checker::is_linearizable;
use super::histories::{Stale, Store, Unconditional, record};
use evenfold_cache::{Cache, CacheOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

async fn cache() -> Cache {
    Cache::start(CacheOptions::default().shards(3)).await.unwrap()
}

/// Of so many rounds, how many have a history that no order explains.
async fn wrong(store: &impl Store, rounds: u64) -> usize {
    let mut wrong = 0;
    for round in 0..rounds {
        let histories = record(store, round, 4, 40, 2).await;
        wrong += histories.iter().filter(|history| !is_linearizable(history)).count();
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_key_is_linearizable() {
    assert_eq!(wrong(&cache().await, 200).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_key_is_linearizable_while_the_number_of_shards_changes() {
    let cache = cache().await;
    let done = Arc::new(AtomicBool::new(false));
    let resizing = {
        let (cache, done) = (cache.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            for shards in [1, 8, 2, 5].into_iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                cache.resize(shards).await.unwrap();
            }
        })
    };
    assert_eq!(wrong(&cache, 200).await, 0);
    done.store(true, Ordering::Relaxed);
    resizing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cache_that_reads_from_a_stale_copy_is_found_out() {
    assert!(wrong(&Stale(cache().await, Arc::default()), 5).await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cache_that_looks_first_and_puts_then_is_found_out() {
    assert!(wrong(&Unconditional(cache().await), 200).await > 0);
}
