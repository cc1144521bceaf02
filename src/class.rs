//! Classes of hashes: what one checkpoint row stands for.

use crate::hash::IdHash;
use std::fmt;

/// The largest number of partitions, and so the largest modulus of a class.
pub const MAX_PARTITIONS: u32 = 65_536;

/// All hashes with `hash % modulus == residue`. Partition `k` of `n` is the class `(n, k)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Class {
    modulus: u32,
    residue: u32,
}

/// A pair of numbers that is not a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClassError {
    /// The number of partitions is 0 or above [`MAX_PARTITIONS`].
    #[error("the number of partitions must be from 1 to {MAX_PARTITIONS}, and {0} is not")]
    Total(u32),
    /// The key is not below the number of partitions.
    #[error("of {total} partitions the keys are 0 to {}, and {key} is not among them", total - 1)]
    Key {
        /// The key that was given.
        key: u32,
        /// The number of partitions that was given.
        total: u32,
    },
}

impl Class {
    /// Partition `key` of `total`.
    ///
    /// # Errors
    ///
    /// When `total` is not in `1..=65_536` or `key` is not in `0..total`.
    pub fn partition(key: u32, total: u32) -> Result<Self, ClassError> {
        if total == 0 || total > MAX_PARTITIONS {
            return Err(ClassError::Total(total));
        }
        if key >= total {
            return Err(ClassError::Key { key, total });
        }
        Ok(Self { modulus: total, residue: key })
    }

    /// Whether the class holds this hash.
    #[must_use]
    pub fn contains(self, hash: IdHash) -> bool {
        hash.value() % self.modulus == self.residue
    }

    /// The modulus: the number of partitions.
    #[must_use]
    pub fn modulus(self) -> u32 {
        self.modulus
    }

    /// The residue: the partition key.
    #[must_use]
    pub fn residue(self) -> u32 {
        self.residue
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.residue, self.modulus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_outside_the_total_is_refused() {
        assert_eq!(Class::partition(0, 0), Err(ClassError::Total(0)));
        assert_eq!(Class::partition(0, 65_537), Err(ClassError::Total(65_537)));
        assert_eq!(Class::partition(4, 4), Err(ClassError::Key { key: 4, total: 4 }));
        assert_eq!(
            Class::partition(4, 4).map_err(|e| e.to_string()),
            Err("of 4 partitions the keys are 0 to 3, and 4 is not among them".to_owned())
        );
        assert!(Class::partition(65_535, 65_536).is_ok());
    }

    proptest! {
        #[test]
        fn the_partitions_of_a_total_are_an_exact_cover(id in ".*", total in 1..200_u32) {
            let holders = (0..total)
                .filter_map(|key| Class::partition(key, total).ok())
                .filter(|class| class.contains(IdHash::of(&id)))
                .count();
            prop_assert_eq!(holders, 1);
        }
    }
}
