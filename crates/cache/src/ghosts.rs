//! The keys that have left a shard's small queue lately, as hashes.

use super::key::CacheKey;

/// The fewest places there are.
const FEWEST: usize = 64;

/// A table with one place per hash: whoever comes later takes the place, and what is not found is merely new once more.
///
/// A place has the upper half of a hash and the time at which its key left, counted in keys that have left. A key is
/// remembered while no more keys have left since than are in the main queue, as published.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    places: Vec<(u32, u32)>,
    left: u32,
    remembered: u32,
}

impl Ghosts {
    /// Remembers a key that leaves, and as many of those before it as the main queue has entries.
    pub(super) fn remember(&mut self, key: &CacheKey, main: usize) {
        if self.places.len() < main.max(FEWEST) {
            self.grow(main.max(FEWEST).next_power_of_two());
        }
        // More than 2^32 entries do not fit into memory.
        self.remembered = u32::try_from(main).unwrap_or(u32::MAX);
        self.left = self.left.wrapping_add(1);
        let (place, mark) = self.place(key);
        self.places[place] = (mark, self.left);
    }

    /// Whether the key is remembered, which it then is no longer.
    pub(super) fn forget(&mut self, key: &CacheKey) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let (place, mark) = self.place(key);
        let (found, left) = self.places[place];
        let is = found == mark && self.left.wrapping_sub(left) < self.remembered;
        if is {
            self.places[place] = (0, 0);
        }
        is
    }

    /// The place is taken from the lower half of the hash, the mark from the upper. A mark of 0 is an empty place.
    #[expect(clippy::cast_possible_truncation, reason = "it is cut in halves")]
    fn place(&self, key: &CacheKey) -> (usize, u32) {
        // FNV's low bits are good enough for neither: multiplied by 2^64 / phi (Knuth, The Art of Computer Programming,
        // volume 3, section 6.4), and turned, since the upper bits of the product depend on all.
        let hash = key.hash().value().wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        (hash as usize & (self.places.len() - 1), ((hash >> 32) as u32).max(1))
    }

    /// A key's place has more bits of its hash than before, which are not known: all are forgotten, some dozen times in
    /// the life of a cache.
    fn grow(&mut self, places: usize) {
        self.places = vec![(0, 0); places];
    }
}
