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
#[non_exhaustive]
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
    /// Going from one number of partitions to another would cut the hashes into more than [`MAX_PARTITIONS`] classes.
    #[error(
        "going from {from} to {to} partitions at once would cut the log into more than {MAX_PARTITIONS} classes: \
         go by way of a multiple or a divisor of {from}"
    )]
    TooFine {
        /// The modulus that there is.
        from: u32,
        /// The number of partitions that was given.
        to: u32,
    },
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Whether the classes are disjoint and together hold every hash of `whole`.
#[must_use]
pub fn is_exact_cover(whole: Class, classes: &[Class]) -> bool {
    let inside = classes.iter().all(|class| class.is_inside(whole));
    let disjoint = classes.iter().enumerate().all(|(n, a)| classes[n + 1..].iter().all(|b| !a.overlaps(*b)));
    // Disjoint classes that together weigh as much as the whole leave nothing out. Weights are 1 / modulus; summed as a
    // reduced fraction.
    let sum = classes.iter().try_fold((0_u128, 1_u128), |(n, d), class| {
        let m = u128::from(class.modulus);
        let (n, d) = (n.checked_mul(m)?.checked_add(d)?, d.checked_mul(m)?);
        let g = gcd128(n, d);
        Some((n / g, d / g))
    });
    inside && disjoint && sum == Some((1, u128::from(whole.modulus)))
}

fn gcd128(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd128(b, a % b) }
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

    /// Whether some hash is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.residue.abs_diff(other.residue).is_multiple_of(gcd(self.modulus, other.modulus))
    }

    /// Whether every hash of this class is in the other.
    #[must_use]
    pub fn is_inside(self, other: Self) -> bool {
        self.modulus.is_multiple_of(other.modulus) && self.residue % other.modulus == other.residue
    }

    /// The classes that this one falls into when it is cut so that each piece is inside one partition of `total`, or
    /// of its own modulus: its cells of modulus `lcm(modulus, total)`.
    ///
    /// # Errors
    ///
    /// [`ClassError::TooFine`] when that modulus is above [`MAX_PARTITIONS`].
    pub fn cells(self, total: u32) -> Result<impl Iterator<Item = Self>, ClassError> {
        let too_fine = ClassError::TooFine { from: self.modulus, to: total };
        let step = self.modulus / gcd(self.modulus, total.max(1));
        let modulus = step.checked_mul(total.max(1)).filter(|&m| m <= MAX_PARTITIONS).ok_or(too_fine)?;
        let Self { modulus: step, residue } = self;
        Ok((0..modulus / step).map(move |n| Self { modulus, residue: residue + n * step }))
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

    /// A class of any modulus up to 60.
    fn class() -> impl Strategy<Value = Class> {
        (1..60_u32).prop_flat_map(|modulus| (0..modulus).prop_map(move |residue| Class { modulus, residue }))
    }

    /// Every hash that matters: moduli up to 60 and their least common multiples repeat within this many.
    fn hashes(a: Class, b: Class) -> impl Iterator<Item = u32> {
        0..a.modulus * b.modulus
    }

    fn holds(class: Class, hash: u32) -> bool {
        hash % class.modulus == class.residue
    }

    #[test]
    fn cells_above_the_limit_are_refused_with_a_way_round() {
        let whole = Class { modulus: 65_521, residue: 0 };
        let error = whole.cells(2).map(|_| ()).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("a multiple or a divisor of 65521")));
        assert!(Class { modulus: 65_536, residue: 3 }.cells(4).is_ok());
    }

    #[test]
    fn a_gap_or_an_overlap_is_no_cover() {
        let cover = |classes: &[(u32, u32)]| {
            let classes: Vec<Class> = classes.iter().map(|&(modulus, residue)| Class { modulus, residue }).collect();
            is_exact_cover(Class { modulus: 1, residue: 0 }, &classes)
        };
        assert!(cover(&[(1, 0)]));
        assert!(cover(&[(2, 1), (4, 0), (4, 2)]));
        assert!(!cover(&[(2, 1), (4, 0)]), "a gap");
        assert!(!cover(&[(2, 1), (4, 0), (4, 2), (4, 3)]), "an overlap");
        assert!(!cover(&[(2, 1), (3, 0), (6, 2)]), "an overlap that makes up for a gap");
        assert!(!cover(&[]));
    }

    proptest! {
        #[test]
        fn overlap_and_containment_are_those_of_the_sets(a in class(), b in class()) {
            prop_assert_eq!(a.overlaps(b), hashes(a, b).any(|h| holds(a, h) && holds(b, h)));
            prop_assert_eq!(a.is_inside(b), hashes(a, b).all(|h| !holds(a, h) || holds(b, h)));
        }

        #[test]
        fn the_cells_of_a_class_cover_it_and_each_is_inside_one_partition(a in class(), total in 1..60_u32) {
            let cells: Vec<Class> = a.cells(total).unwrap().collect();
            prop_assert!(is_exact_cover(a, &cells), "{:?}", cells);
            for cell in cells {
                let holders = (0..total).filter(|&residue| cell.is_inside(Class { modulus: total, residue })).count();
                prop_assert_eq!(holders, 1);
            }
        }

        #[test]
        fn any_walk_through_numbers_of_partitions_keeps_an_exact_cover(
            walk in prop::collection::vec((1..9_u32, any::<u32>()), 1..8)
        ) {
            let whole = Class { modulus: 1, residue: 0 };
            let mut rows = vec![whole];
            for (total, key) in walk {
                let partition = Class { modulus: total, residue: key % total };
                // Split what overlaps and is not inside, then merge what is inside.
                let mut next = Vec::new();
                for row in rows {
                    if row.overlaps(partition) && !row.is_inside(partition) {
                        match row.cells(total) {
                            Ok(cells) => next.extend(cells),
                            Err(_) => next.push(row),
                        }
                    } else {
                        next.push(row);
                    }
                }
                prop_assert!(is_exact_cover(whole, &next));
                let (inside, mut outside): (Vec<_>, Vec<_>) = next.into_iter().partition(|c| c.is_inside(partition));
                if is_exact_cover(partition, &inside) {
                    outside.push(partition);
                } else {
                    outside.extend(inside);
                }
                prop_assert!(is_exact_cover(whole, &outside));
                rows = outside;
            }
        }

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
