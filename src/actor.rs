//! The actors that one owner keeps: one state per aggregate, changed by one event at a time, bounded in number.

use crate::hash::IdHash;
use hashbrown::HashTable;

/// States by aggregate, at most `limit` of them.
///
/// Two generations: what is used moves into the young one; when that is full it becomes the old one, and the old one,
/// which nobody has used since, is dropped. An approximation of least recently used that costs no list.
#[derive(Debug)]
pub struct Actors<S> {
    young: HashTable<Actor<S>>,
    old: HashTable<Actor<S>>,
    generation: usize,
}

#[derive(Debug)]
struct Actor<S> {
    hash: IdHash,
    /// The aggregate's type and id in one allocation, because there may be a hundred thousand of them.
    name: Box<str>,
    type_len: usize,
    state: S,
}

impl<S> Actor<S> {
    fn is(&self, aggregate_type: &str, aggregate_id: &str) -> bool {
        self.type_len == aggregate_type.len()
            && self.name.len() == aggregate_type.len() + aggregate_id.len()
            && self.name.ends_with(aggregate_id)
            && self.name.starts_with(aggregate_type)
    }
}

/// The table takes the position from the low bits and a tag from the high ones; the stored hash has 32 bits, and within
/// a partition some of the low ones are the same for all. Multiplying by 2^64 / phi spreads it (Knuth, The Art of
/// Computer Programming, volume 3, section 6.4).
fn spread(hash: IdHash) -> u64 {
    u64::from(hash.value()).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

impl<S> Actors<S> {
    /// No actors yet, and never more than `limit` (at least 2).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { young: HashTable::new(), old: HashTable::new(), generation: (limit / 2).max(1) }
    }

    /// Makes sure that `more` actors can be used without one of them being dropped, as long as `more` is not above
    /// half the limit.
    pub fn make_room(&mut self, more: usize) {
        if self.young.len() + more > self.generation {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// The state of an aggregate, if it is here; it counts as used.
    pub fn get_mut(&mut self, hash: IdHash, aggregate_type: &str, aggregate_id: &str) -> Option<&mut S> {
        let found = |actor: &Actor<S>| actor.hash == hash && actor.is(aggregate_type, aggregate_id);
        if self.young.find(spread(hash), found).is_none() {
            let entry = self.old.find_entry(spread(hash), found).ok()?;
            let (actor, _) = entry.remove();
            self.young.insert_unique(spread(hash), actor, |actor| spread(actor.hash));
        }
        self.young.find_mut(spread(hash), found).map(|actor| &mut actor.state)
    }

    /// Adds an aggregate that is not here.
    pub fn insert(&mut self, hash: IdHash, aggregate_type: &str, aggregate_id: &str, state: S) {
        let name = [aggregate_type, aggregate_id].concat().into_boxed_str();
        let actor = Actor { hash, name, type_len: aggregate_type.len(), state };
        self.young.insert_unique(spread(hash), actor, |actor| spread(actor.hash));
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(actors: &mut Actors<u32>, id: &str) -> u32 {
        let hash = IdHash::of(id);
        if actors.get_mut(hash, "t", id).is_none() {
            actors.make_room(1);
            actors.insert(hash, "t", id, 0);
        }
        actors.get_mut(hash, "t", id).map_or(0, |state| {
            *state += 1;
            *state
        })
    }

    #[test]
    fn there_are_never_more_than_the_limit_and_what_is_used_stays() {
        let mut actors = Actors::new(10);
        for round in 1..=1000 {
            assert_eq!(touch(&mut actors, "used in every round"), round);
            touch(&mut actors, &format!("used once {round}"));
            assert!(actors.len() <= 10, "{}", actors.len());
        }
    }

    #[test]
    fn aggregates_of_one_hash_are_told_apart() {
        let mut actors = Actors::new(10);
        let hash = IdHash::of("x");
        for (n, (aggregate_type, id)) in [("a", "bc"), ("ab", "c"), ("abc", ""), ("a", "bd")].into_iter().enumerate() {
            assert!(actors.get_mut(hash, aggregate_type, id).is_none());
            actors.insert(hash, aggregate_type, id, n);
        }
        assert_eq!(actors.get_mut(hash, "ab", "c"), Some(&mut 1));
        assert_eq!(actors.get_mut(hash, "a", "bd"), Some(&mut 3));
    }
}
