//! Which partition an aggregate belongs to: a hash that is part of the stored data, and never changes.

use std::fmt;
use std::hash::Hasher;

/// 64-bit FNV-1a of the bytes of an aggregate id, xor-folded to 32 bits.
///
/// Folded, because the low bit of plain FNV-1a is the parity of the bytes' low bits: ids made of a repeated part would
/// leave half of an even number of partitions empty. The fold is what FNV's authors advise for ranges below 2^64
/// (Fowler, Noll, Vo and Eastlake, "The FNV Non-Cryptographic Hash Algorithm", section on xor-folding).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdHash(u32);

impl IdHash {
    /// The hash of an aggregate id. The SQL function `evenfold.hash` gives the same number.
    #[must_use]
    pub fn of(aggregate_id: &str) -> Self {
        let mut hasher = fnv::FnvHasher::default();
        // `write`, not `str::hash`, which would add a byte of its own.
        hasher.write(aggregate_id.as_bytes());
        let wide = hasher.finish();
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

#[cfg(test)]
mod tests {
    use super::*;

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
