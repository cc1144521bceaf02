//! Which shard a key belongs to.

use std::hash::Hasher;
use std::num::NonZeroU32;

/// The 64-bit FNV-1a hash of a key of an actor group: it decides which shard the key belongs to. It lives in memory
/// only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(u64);

impl KeyHash {
    /// The hash of a key's bytes.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let mut hasher = fnv::FnvHasher::default();
        hasher.write(key);
        Self(hasher.finish())
    }

    /// The hash that [was this number](Self::value).
    #[must_use]
    pub fn from_value(value: u64) -> Self {
        Self(value)
    }

    /// The hash as a number.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }

    /// Which of so many shards the key belongs to, by jump consistent hash: from n shards to n + 1, a key either stays
    /// or moves to the new one, and one in n + 1 does (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash
    /// Algorithm", 2014).
    #[must_use]
    pub fn shard(self, shards: NonZeroU32) -> u32 {
        jump(self.0, shards)
    }
}

impl From<&str> for KeyHash {
    fn from(key: &str) -> Self {
        Self::of(key.as_bytes())
    }
}

impl From<&String> for KeyHash {
    fn from(key: &String) -> Self {
        Self::of(key.as_bytes())
    }
}

impl From<&[u8]> for KeyHash {
    fn from(key: &[u8]) -> Self {
        Self::of(key)
    }
}

impl From<u64> for KeyHash {
    fn from(key: u64) -> Self {
        Self::of(&key.to_le_bytes())
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as published: the quotient of two numbers up to 2^31, times a bucket, is cut to a whole number"
)]
fn jump(mut key: u64, buckets: NonZeroU32) -> u32 {
    let (mut bucket, mut next) = (0, 0);
    while next < u64::from(buckets.get()) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as u64;
    }
    bucket as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The buckets that the authors' own code gives, as published with implementations of it.
    #[test]
    fn the_shard_is_that_of_the_published_jump_hash() {
        let published = [(0xDEAD_10CC, 1, 0), (0xDEAD_10CC, 666, 361), (256, 1024, 520), (0, 60, 0)];
        for (key, buckets, bucket) in published {
            assert_eq!(jump(key, NonZeroU32::new(buckets).unwrap()), bucket, "{key} {buckets}");
        }
    }

    #[test]
    fn a_hash_is_the_same_after_it_was_a_number() {
        assert_eq!(KeyHash::from_value(KeyHash::from("key").value()), KeyHash::from("key"));
    }

    proptest! {
        #[test]
        fn one_more_shard_takes_keys_and_moves_none_between_the_others(key: u64, shards in 1_u32..1024) {
            let (few, more) = (NonZeroU32::new(shards).unwrap(), NonZeroU32::new(shards + 1).unwrap());
            let hash = KeyHash::from(key);
            prop_assert!(hash.shard(few) < shards);
            prop_assert!([hash.shard(few), shards].contains(&hash.shard(more)));
        }
    }

    #[test]
    fn keys_are_spread_evenly_over_the_shards() {
        let mut counts = [0_u32; 10];
        for n in 0..10_000 {
            counts[KeyHash::from(&format!("agg-{n:04}{n:04}")).shard(NonZeroU32::new(10).unwrap()) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }
}
