//! What is hot, and what is not.

use super::*;
use crate::window::{Tick, Window};

/// The loads, and some keys that were read and changed, as they would be found after so many seconds.
fn lately(seconds: u64, shards: &[ShardLoad], read: &[&str], changed: &[&str]) -> Lately {
    let hashes = |keys: &[&str]| keys.iter().copied().map(KeyHash::from).collect();
    let start = Instant::now();
    let before = Tick {
        at: start,
        shards: vec![ShardLoad::default(); shards.len()],
        read_keys: Vec::new(),
        changed_keys: Vec::new(),
    };
    let after = Tick {
        at: start + Duration::from_secs(seconds),
        shards: shards.to_vec(),
        read_keys: hashes(read),
        changed_keys: hashes(changed),
    };
    let mut window = Window::default();
    window.add(before);
    Lately::of(&window.add(after))
}

fn reads(counts: &[u64]) -> Vec<ShardLoad> {
    counts.iter().map(|reads| ShardLoad { reads: *reads, ..ShardLoad::default() }).collect()
}

fn hot_shards(counts: &[u64]) -> Vec<(u32, f64)> {
    lately(10, &reads(counts), &[], &[]).hot.into_iter().map(|hot| (hot.shard, hot.share)).collect()
}

#[tokio::test(start_paused = true)]
async fn shards_with_more_than_twice_the_mean_are_hot() {
    assert_eq!(hot_shards(&[10_000, 70_000, 10_000, 10_000]), [(1, 0.7)]);
    assert_eq!(hot_shards(&[10_000, 10_000, 0, 0]), [], "twice the mean is not more than that");
    assert_eq!(hot_shards(&[0, 50_000, 50_000, 0, 0, 0]), [(1, 0.5), (2, 0.5)]);
    assert_eq!(hot_shards(&[0, FLOOR - 1, 0, 0]), [], "there is hardly anything to do");
    assert_eq!(hot_shards(&[0, FLOOR, 0, 0]), [(1, 1.0)]);
}

#[tokio::test(start_paused = true)]
async fn of_two_shards_one_with_more_than_three_quarters_is_hot_and_of_one_none_is() {
    assert_eq!(hot_shards(&[75_000, 25_000]), []);
    assert_eq!(hot_shards(&[20_000, 80_000]), [(1, 0.8)]);
    assert_eq!(hot_shards(&[1_000_000]), []);
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_actor_works_for_more_than_half_of_the_time_is_hot_however_many_there_are() {
    let busy = |seconds| ShardLoad { changes: 1_000, busy: Duration::from_secs_f64(seconds), ..ShardLoad::default() };
    let hot = |shards: &[ShardLoad]| lately(10, shards, &[], &[]).hot.len();
    assert_eq!(hot(&[busy(5.0)]), 0);
    assert_eq!(hot(&[busy(5.1)]), 1);
    assert_eq!(hot(&[busy(9.0), busy(9.0), busy(1.0)]), 2);
}

#[tokio::test(start_paused = true)]
async fn the_balance_is_that_of_the_interval_and_unknown_of_few() {
    let imbalance = |counts: &[u64]| lately(10, &reads(counts), &[], &[]).imbalance;
    assert_eq!(imbalance(&[60_000, 20_000]), Some(1.5));
    assert_eq!(imbalance(&[2 * FLOOR, 0]), Some(2.0));
    assert_eq!(imbalance(&[2 * FLOOR - 1, 0]), None);
    assert_eq!(lately(4, &reads(&[60_000, 20_000]), &[], &[]).per_second, [15_000.0, 5_000.0]);
    assert!(lately(0, &reads(&[60_000, 20_000]), &[], &[]).per_second.is_empty(), "nothing is known of no time");
}

#[tokio::test(start_paused = true)]
async fn a_key_with_more_than_half_of_a_hot_shards_load_is_named_with_its_rate() {
    let shards = std::num::NonZeroU32::new(4).unwrap();
    let own = (0..1_000).map(|n| format!("k{n}")).filter(|key| KeyHash::from(key).shard(shards) == 2);
    let keys: Vec<String> = own.take(9).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let key = |reads, changes, read: &[&str], changed: &[&str]| {
        let mut all = vec![ShardLoad::default(); 4];
        all[2] = ShardLoad { reads, changes, ..ShardLoad::default() };
        lately(10, &all, read, changed).hot[0].key.map(|key| (KeyHash::from_value(key.hash), key.per_second))
    };
    let (one, half) = ([keys[0]; 4], [keys[0], keys[0], keys[1], keys[2]]);
    assert_eq!(key(60_000, 0, &one, &[]), Some((KeyHash::from(keys[0]), 6_000.0)));
    assert_eq!(key(0, 60_000, &[], &one), Some((KeyHash::from(keys[0]), 6_000.0)));
    assert_eq!(key(60_000, 0, &half, &[]), None, "half is not more than that");
    assert_eq!(key(60_000, 0, &keys, &[]), None, "it is many keys");
    // What counts is reads and changes together.
    assert_eq!(key(60_000, 20_000, &one, &keys), Some((KeyHash::from(keys[0]), 6_000.0)));
    assert_eq!(key(20_000, 60_000, &one, &keys), None);
    assert_eq!(key(60_000, 20_000, &one, &one), Some((KeyHash::from(keys[0]), 8_000.0)));
}

#[tokio::test(start_paused = true)]
async fn a_hot_shard_is_new_once_until_it_was_not_hot_for_a_minute() {
    let hot = |key: Option<u64>| Hot { shard: 1, share: 0.5, key: key.map(|hash| HotKey { hash, per_second: 1.0 }) };
    let mut logged = Logged::default();
    assert_eq!(logged.new_among(&[hot(None)]), [hot(None)]);
    assert_eq!(logged.new_among(&[hot(Some(7))]), [hot(Some(7))], "the key is news");
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(logged.new_among(&[hot(Some(7))]), []);
    }
    tokio::time::advance(QUIET).await;
    assert_eq!(logged.new_among(&[]), []);
    assert_eq!(logged.new_among(&[hot(Some(7))]), [hot(Some(7))]);
}
