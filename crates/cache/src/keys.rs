//! Which key is read or changed most: a few hashes of keys for each shard, sampled without anybody waiting.

use evenfold_groups::KeyHash;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many shards have a ring of their own. Where there are more, some share one, in which a hot shard still has more
/// than its part.
const RINGS: usize = 64;

/// So many keys of each are remembered until somebody [takes](SampledKeys::take) them; of more, the last ones.
const SLOTS: usize = 32;

/// The last keys of a shard, in cache lines of their own. 0 is none: of all keys, one in 2^64 has that hash.
#[derive(Debug)]
#[repr(align(128))]
struct Ring([AtomicU64; SLOTS]);

/// Hashes of keys. To note one is to write one number, which nobody waits for; one that is overwritten is lost.
#[derive(Debug)]
pub(super) struct SampledKeys(Box<[Ring]>);

impl SampledKeys {
    pub(super) fn new() -> Self {
        Self((0..RINGS).map(|_| Ring(std::array::from_fn(|_| AtomicU64::new(0)))).collect())
    }

    /// Notes the key of one read or change in so many, which has this number among those of its shard.
    pub(super) fn note(&self, shard: u32, number: u64, key: KeyHash) {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
        let slot = (number % SLOTS as u64) as usize;
        self.0[shard as usize % RINGS].0[slot].store(key.value(), Ordering::Relaxed);
    }

    /// What was noted since it was taken last.
    pub(super) fn take(&self) -> Vec<KeyHash> {
        let all = self.0.iter().flat_map(|ring| &ring.0);
        let noted = all.filter(|slot| slot.load(Ordering::Relaxed) != 0);
        noted.map(|slot| KeyHash::from_value(slot.swap(0, Ordering::Relaxed))).collect()
    }
}

/// The key that more than half of these are, with its share of them, if one is: Boyer and Moore's majority vote
/// ("MJRTY: A Fast Majority Vote Algorithm", 1981), which needs one candidate and one count, and a second look that
/// counts it.
pub(super) fn majority(keys: &[KeyHash]) -> Option<(KeyHash, f64)> {
    let (mut candidate, mut votes) = (*keys.first()?, 0_usize);
    for key in keys {
        if votes == 0 {
            candidate = *key;
        }
        if *key == candidate { votes += 1 } else { votes -= 1 }
    }
    let count = keys.iter().filter(|key| **key == candidate).count();
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    (2 * count > keys.len()).then(|| (candidate, count as f64 / keys.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn the_last_keys_of_each_shard_are_remembered_until_they_are_taken() {
        let keys = SampledKeys::new();
        for number in 0..100_u64 {
            keys.note(3, number, KeyHash::from(number));
            keys.note(4, number, KeyHash::from("other"));
        }
        let taken = keys.take();
        assert_eq!(taken.len(), 2 * SLOTS);
        assert!((100 - SLOTS as u64..100).all(|number| taken.contains(&KeyHash::from(number))));
        assert_eq!(keys.take(), []);
        keys.note(1023, u64::MAX, KeyHash::from("far"));
        assert_eq!(keys.take(), [KeyHash::from("far")]);
    }

    proptest! {
        #[test]
        fn the_majority_is_the_key_that_more_than_half_are(numbers in prop::collection::vec(0_u64..3, 0..30)) {
            let keys: Vec<KeyHash> = numbers.iter().copied().map(KeyHash::from).collect();
            let mut counts: HashMap<KeyHash, usize> = HashMap::new();
            for key in &keys {
                *counts.entry(*key).or_default() += 1;
            }
            let expected = counts.into_iter().find(|(_, count)| 2 * count > keys.len());
            prop_assert_eq!(majority(&keys).map(|(key, _)| key), expected.map(|(key, _)| key));
            if let (Some((_, share)), Some((_, count))) = (majority(&keys), expected) {
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let exact = count as f64 / keys.len() as f64;
                prop_assert!((share - exact).abs() < 1e-9);
            }
        }
    }
}
