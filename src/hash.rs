//! Hashes: which partition an aggregate belongs to (part of the stored data: it never changes), and which shard of an actor
//! group a key.

use std::fmt;
use std::hash::Hasher;
use std::num::NonZeroU32;

/// 64-bit FNV-1a. `write`, not `str::hash`, which would add a byte of its own.
fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// 64-bit FNV-1a of the bytes of an aggregate id, xor-folded to 32 bits.
///
/// Folded, because the low bit of plain FNV-1a is the parity of the bytes' low bits: ids made of a repeated part would
/// leave half of an even number of partitions empty. The fold is what FNV's authors advise for ranges below 2^64
/// (Fowler, Noll, Vo and Eastlake, "The FNV Non-Cryptographic Hash Algorithm", section on xor-folding).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdHash(u32);

impl IdHash {
    /// The hash of an aggregate id. The SQL function `evenfold_hash` gives the same number.
    #[must_use]
    pub fn of(aggregate_id: &str) -> Self {
        let wide = fnv1a(aggregate_id.as_bytes());
        let folded = (wide >> 32) ^ (wide & u64::from(u32::MAX));
        #[expect(clippy::cast_possible_truncation, reason = "both halves have 32 bits")]
        Self(folded as u32)
    }

    /// The hash as it is stored: a non-negative `bigint`.
    #[must_use]
    pub fn to_sql(self) -> i64 {
        i64::from(self.0)
    }

    /// The hash as it was stored. The table allows nothing outside 32 bits; what does not fit is cut, and then is not
    /// the hash of its id.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the table's CHECK keeps it in range")]
    pub(crate) fn from_sql(stored: i64) -> Self {
        Self(stored as u32)
    }

    /// The hash as a number in `0..2^32`.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for IdHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The 64-bit FNV-1a hash of a key of an actor group: it decides which shard the key belongs to. It lives in memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(u64);

impl KeyHash {
    /// The hash of a key's bytes.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(fnv1a(key))
    }

    /// The hash as a number.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }

    /// Which of so many shards the key belongs to, by jump consistent hash: from n shards to n + 1, a key either stays or
    /// moves to the new one, and one in n + 1 does (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm",
    /// 2014).
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

    /// Fowler, Noll and Vo's published 64-bit FNV-1a test vectors, folded here by hand.
    #[test]
    fn the_hash_is_the_published_fnv1a_folded() {
        let vectors: [(&str, u64); 6] = [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("b", 0xaf63_df4c_8601_f1a5),
            ("foo", 0xdcb2_7518_fed9_d577),
            ("foobar", 0x8594_4171_f739_67e8),
            ("chongo was here!\n", 0x4681_0940_eff5_f915),
        ];
        for (id, published) in vectors {
            let folded = (published >> 32) ^ (published & 0xffff_ffff);
            assert_eq!(u64::from(IdHash::of(id).value()), folded, "{id:?}");
        }
    }

    #[test]
    fn ids_of_a_repeated_part_reach_every_partition() {
        for total in [2_u32, 4, 8, 10] {
            let mut reached = vec![0_u32; total as usize];
            for n in 0..10_000 {
                reached[(IdHash::of(&format!("agg-{n:04}{n:04}")).value() % total) as usize] += 1;
            }
            let mean = 10_000 / total;
            assert!(reached.iter().all(|&r| r > mean * 8 / 10 && r < mean * 12 / 10), "{reached:?}");
        }
    }
}
