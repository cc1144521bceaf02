//! The order of eviction finds at least as many keys as an exact LRU of the same bytes.

use crate::answer::Condition;
use crate::budget::cost;
use crate::expiry::EntryEnd;
use crate::key::CacheKey;
use crate::packed::Kept;
use crate::shard::CacheShard;
use crate::shared::Shared;
use crate::view::Look;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const KEYS: usize = 10_000;
const REQUESTS: usize = 100_000;

/// Ranks by Zipf's law: the k-th most frequent of the keys comes with a probability in proportion to 1 / k^s.
fn zipf(s: f64, seed: u64) -> impl Iterator<Item = usize> {
    let mut sums = Vec::with_capacity(KEYS);
    let mut sum = 0.0;
    for rank in 1..=KEYS {
        #[expect(clippy::cast_precision_loss, reason = "a probability")]
        let weight = (rank as f64).powf(-s);
        sum += weight;
        sums.push(sum);
    }
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(move || {
        let at = random.f64() * sum;
        sums.partition_point(|sum| *sum < at)
    })
}

/// Values have 10 to 1,000 bytes, by their key.
fn value(key: usize) -> Kept {
    Kept::Plain("v".repeat(10 + key.wrapping_mul(7_919) % 991).as_str().into())
}

fn name(key: usize) -> String {
    format!("key:{key}")
}

fn bytes(key: usize) -> u64 {
    cost(&CacheKey::new(&name(key)).unwrap(), &value(key), false)
}

/// An exact LRU, by its bytes.
fn lru(trace: &[usize], budget: u64) -> usize {
    let (mut last, mut order) = (HashMap::new(), BTreeMap::new());
    let (mut used, mut hits) = (0, 0);
    for (now, &key) in trace.iter().enumerate() {
        match last.insert(key, now) {
            Some(before) => {
                order.remove(&before);
                hits += 1;
            }
            None => used += bytes(key),
        }
        order.insert(now, key);
        while used > budget {
            let (_, oldest) = order.pop_first().unwrap();
            last.remove(&oldest);
            used -= bytes(oldest);
        }
    }
    hits
}

/// The shard as it is: what is not found is put.
fn shard(trace: &[usize], budget: u64) -> usize {
    let shared = Arc::new(Shared::new(budget, 1));
    let mut owner = CacheShard::new(0, Arc::clone(&shared));
    let mut hits = 0;
    for &key in trace {
        if let Look::Found { .. } = shared.view.look(&name(key)) {
            hits += 1;
        } else {
            owner.put(CacheKey::new(&name(key)).unwrap(), value(key), EntryEnd::NEVER, Condition::Always).unwrap();
            assert!(shared.budget.used() <= budget);
        }
    }
    hits
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn ratio(hits: usize, trace: &[usize]) -> f64 {
    hits as f64 / trace.len() as f64
}

/// With room for a hundredth, a tenth and a third of all bytes.
fn budgets() -> [u64; 3] {
    let all: u64 = (0..KEYS).map(bytes).sum();
    [all / 100, all / 10, all / 3]
}

#[test]
fn on_zipf_traces_at_least_as_much_is_found_as_with_exact_lru() {
    for s in [0.7, 0.9, 1.0, 1.2] {
        let trace: Vec<usize> = zipf(s, 7).take(REQUESTS).collect();
        for budget in budgets() {
            let (ours, lru) = (ratio(shard(&trace, budget), &trace), ratio(lru(&trace, budget), &trace));
            println!("s = {s}, {budget} bytes: {ours:.3}, LRU {lru:.3}");
            assert!(ours >= lru, "s = {s}, {budget} bytes: {ours:.3}, LRU {lru:.3}");
        }
    }
}

#[test]
fn a_scan_leaves_what_is_in_use_alone() {
    let budget = budgets()[1];
    let mut trace: Vec<usize> = zipf(1.0, 7).take(REQUESTS).collect();
    // Half of the requests are for keys that come once.
    trace = trace.into_iter().enumerate().flat_map(|(n, key)| [key, KEYS + n]).collect();
    let (ours, lru) = (ratio(shard(&trace, budget), &trace), ratio(lru(&trace, budget), &trace));
    println!("scan: {ours:.3}, LRU {lru:.3}");
    assert!(ours > lru * 1.2, "{ours:.3}, LRU {lru:.3}");
}
