//! The actors that one owner keeps: one state per aggregate, changed by one event at a time, bounded in number.

use crate::hash::IdHash;
use hashbrown::HashTable;

/// States by aggregate, at most `limit` of them.
///
/// Two generations: what is used moves into the young one; when that is full it becomes the old one, and the old one,
/// which nobody has used since, is dropped. An approximation of least recently used that costs no list.
#[derive(Debug)]
pub struct Actors<S> {
    young: Generation<S>,
    old: Generation<S>,
    limit: usize,
}

/// Where an actor is, until room is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(u32);

/// Looking an aggregate up costs little but cache misses, so that there are few: the hashes are in the table, the states
/// in a row, and the names in one text, all of them in the order in which they came.
#[derive(Debug)]
struct Generation<S> {
    table: HashTable<(IdHash, Slot)>,
    actors: Vec<Actor<S>>,
    names: String,
}

#[derive(Debug)]
struct Actor<S> {
    state: S,
    /// Where in `names` the aggregate's type begins; its id follows.
    name: usize,
    type_len: u32,
    id_len: u32,
}

impl<S> Actor<S> {
    fn parts<'n>(&self, names: &'n str) -> (&'n str, &'n str) {
        let id = self.name + self.type_len as usize;
        (&names[self.name..id], &names[id..id + self.id_len as usize])
    }
}

impl<S> Default for Generation<S> {
    fn default() -> Self {
        Self { table: HashTable::new(), actors: Vec::new(), names: String::new() }
    }
}

impl<S> Generation<S> {
    /// Whether an entry of the table is this aggregate's.
    fn is<'s>(&'s self, hash: IdHash, name: (&'s str, &'s str)) -> impl Fn(&(IdHash, Slot)) -> bool + 's {
        move |&(other, slot)| other == hash && self.actors[slot.0 as usize].parts(&self.names) == name
    }

    fn find(&self, hash: IdHash, name: (&str, &str)) -> Option<Slot> {
        self.table.find(spread(hash), self.is(hash, name)).map(|&(_, slot)| slot)
    }

    fn insert(&mut self, hash: IdHash, (aggregate_type, aggregate_id): (&str, &str), state: S) -> Slot {
        let slot = Slot(length(self.actors.len()));
        let name = self.names.len();
        self.names.push_str(aggregate_type);
        self.names.push_str(aggregate_id);
        let (type_len, id_len) = (length(aggregate_type.len()), length(aggregate_id.len()));
        self.actors.push(Actor { state, name, type_len, id_len });
        self.table.insert_unique(spread(hash), (hash, slot), |&(hash, _)| spread(hash));
        slot
    }
}

/// Names are short, and of actors fewer than 2^32 fit into memory.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The table takes the position from the low bits and a tag from the high ones; the stored hash has 32 bits, and within
/// a partition some of the low ones are the same for all. Multiplying by 2^64 / phi spreads it (Knuth, The Art of
/// Computer Programming, volume 3, section 6.4).
fn spread(hash: IdHash) -> u64 {
    u64::from(hash.value()).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

impl<S: Copy> Actors<S> {
    /// No actors yet, and never more than `limit` (at least 2).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { young: Generation::default(), old: Generation::default(), limit: (limit / 2).max(1) }
    }

    /// Makes sure that `more` actors can be used without one of them being dropped, as long as `more` is not above
    /// half the limit. Slots that were given before are void.
    pub fn make_room(&mut self, more: usize) {
        if !self.has_room(more) {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Whether that many more can be used, and none that was used since room was last made is dropped.
    #[must_use]
    pub fn has_room(&self, more: usize) -> bool {
        self.young.actors.len() + more <= self.limit
    }

    /// Where an aggregate is, if it is here; it counts as used.
    pub fn find(&mut self, hash: IdHash, aggregate_type: &str, aggregate_id: &str) -> Option<Slot> {
        let name = (aggregate_type, aggregate_id);
        self.young.find(hash, name).or_else(|| {
            let slot = self.old.find(hash, name)?;
            Some(self.young.insert(hash, name, self.old.actors[slot.0 as usize].state))
        })
    }

    /// Adds an aggregate that is not here.
    pub fn insert(&mut self, hash: IdHash, aggregate_type: &str, aggregate_id: &str, state: S) -> Slot {
        self.young.insert(hash, (aggregate_type, aggregate_id), state)
    }

    /// The state in a slot that was given since room was last made.
    ///
    /// # Panics
    ///
    /// May panic, or give another's state, where the slot is older than that.
    pub fn at(&mut self, slot: Slot) -> &mut S {
        &mut self.young.actors[slot.0 as usize].state
    }

    /// Those that were used since room was last made: type, id, and state.
    pub fn used(&mut self) -> impl Iterator<Item = (&str, &str, &mut S)> {
        let Generation { actors, names, .. } = &mut self.young;
        actors.iter_mut().map(|actor| {
            let (aggregate_type, aggregate_id) = actor.parts(names);
            (aggregate_type, aggregate_id, &mut actor.state)
        })
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        (self.young, self.old) = Default::default();
    }

    /// How many there are: those that have moved from the old to the young generation count twice.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.actors.len() + self.old.actors.len()
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
        actors.make_room(1);
        let slot = actors.find(hash, "t", id).unwrap_or_else(|| actors.insert(hash, "t", id, 0));
        *actors.at(slot) += 1;
        *actors.at(slot)
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
            assert!(actors.find(hash, aggregate_type, id).is_none());
            actors.insert(hash, aggregate_type, id, n);
        }
        let state = |actors: &mut Actors<usize>, t, id| actors.find(hash, t, id).map(|slot| *actors.at(slot));
        assert_eq!(state(&mut actors, "ab", "c"), Some(1));
        assert_eq!(state(&mut actors, "a", "bd"), Some(3));
        actors.make_room(10);
        assert_eq!(state(&mut actors, "ab", "c"), Some(1), "moved from the old generation to the young one");
        assert_eq!(actors.used().map(|(t, id, n)| (t, id, *n)).collect::<Vec<_>>(), [("ab", "c", 1)]);
    }
}
