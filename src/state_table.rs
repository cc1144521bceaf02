//! A bounded table of states: one per aggregate, changed by one event at a time, the least used ones dropped.

use crate::hash::IdHash;
use hashbrown::HashTable;

/// States by aggregate, at most `limit` of them.
///
/// Two generations: what is used moves into the young one; when that is full it becomes the old one, and the old one,
/// which nobody has used since, is dropped. An approximation of least recently used that costs no list.
#[derive(Debug)]
pub struct StateTable<S> {
    young: Generation<S>,
    old: Generation<S>,
    limit: usize,
    /// How many of the old generation are in the young one too.
    moved: usize,
}

/// Looking an aggregate up costs little but cache misses, so that there are few: the hashes are in the table, and a
/// state is next to its name.
#[derive(Debug)]
struct Generation<S> {
    table: HashTable<(IdHash, u32)>,
    entries: Vec<Entry<S>>,
}

#[derive(Debug)]
struct Entry<S> {
    state: S,
    name: Name,
}

/// An aggregate's type and id: most are short enough to need no allocation of their own.
#[derive(Debug)]
enum Name {
    Short { type_len: u8, len: u8, bytes: [u8; SHORT] },
    Long { type_len: usize, text: Box<str> },
}

/// With its two lengths and the tag 48 bytes.
const SHORT: usize = 45;

impl Name {
    fn of((aggregate_type, aggregate_id): (&str, &str)) -> Self {
        let (type_len, len) = (aggregate_type.len(), aggregate_type.len() + aggregate_id.len());
        match (u8::try_from(type_len), u8::try_from(len)) {
            (Ok(short_type), Ok(short)) if len <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..type_len].copy_from_slice(aggregate_type.as_bytes());
                bytes[type_len..len].copy_from_slice(aggregate_id.as_bytes());
                Self::Short { type_len: short_type, len: short, bytes }
            }
            _ => Self::Long { type_len, text: [aggregate_type, aggregate_id].concat().into_boxed_str() },
        }
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        match self {
            Self::Short { type_len, len, bytes } => bytes[..usize::from(*len)].split_at(usize::from(*type_len)),
            Self::Long { type_len, text } => text.as_bytes().split_at(*type_len),
        }
    }

    fn is(&self, (aggregate_type, aggregate_id): (&str, &str)) -> bool {
        self.parts() == (aggregate_type.as_bytes(), aggregate_id.as_bytes())
    }

    /// The type and the id. They were made of texts, cut where those end.
    #[expect(clippy::expect_used, reason = "another text in its place would be another aggregate, and be written over")]
    fn texts(&self) -> (&str, &str) {
        let (aggregate_type, aggregate_id) = self.parts();
        let text = |bytes| std::str::from_utf8(bytes).expect("a name is kept as it was given");
        (text(aggregate_type), text(aggregate_id))
    }
}

impl<S> Default for Generation<S> {
    fn default() -> Self {
        Self { table: HashTable::new(), entries: Vec::new() }
    }
}

impl<S> Generation<S> {
    fn find(&self, hash: IdHash, name: (&str, &str)) -> Option<usize> {
        let is = |&(other, index): &(IdHash, u32)| other == hash && self.entries[index as usize].name.is(name);
        self.table.find(spread(hash), is).map(|&(_, index)| index as usize)
    }

    #[expect(clippy::expect_used, reason = "another index in its place would be another aggregate's state")]
    fn insert(&mut self, hash: IdHash, name: (&str, &str), state: S) -> usize {
        let index = self.entries.len();
        self.entries.push(Entry { state, name: Name::of(name) });
        let entry = (hash, u32::try_from(index).expect("2^32 of them do not fit into memory"));
        self.table.insert_unique(spread(hash), entry, |&(hash, _)| spread(hash));
        index
    }
}

/// The table takes the position from the low bits and a tag from the high ones; the stored hash has 32 bits, and within
/// a partition some of the low ones are the same for all. Multiplying by 2^64 / phi spreads it (Knuth, The Art of
/// Computer Programming, volume 3, section 6.4).
fn spread(hash: IdHash) -> u64 {
    u64::from(hash.value()).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

impl<S: Copy> StateTable<S> {
    /// No states yet, and never more than `limit` (at least 2).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { young: Generation::default(), old: Generation::default(), limit: (limit / 2).max(1), moved: 0 }
    }

    /// Makes sure that `more` states can be used without one of them being dropped, as long as `more` is not above
    /// half the limit. Gives how many were dropped for it.
    pub fn make_room(&mut self, more: usize) -> usize {
        if self.has_room(more) {
            return 0;
        }
        let dropped = self.old.entries.len() - std::mem::take(&mut self.moved);
        self.old = std::mem::take(&mut self.young);
        dropped
    }

    /// Whether that many more can be used, and none that was used since room was last made is dropped.
    #[must_use]
    pub fn has_room(&self, more: usize) -> bool {
        self.young.entries.len() + more <= self.limit
    }

    /// The state of an aggregate; `new` if it is not here. It counts as used.
    pub fn get_or_insert(&mut self, hash: IdHash, name: (&str, &str), new: impl FnOnce() -> S) -> &mut S {
        let index = self.young.find(hash, name).unwrap_or_else(|| {
            let old = self.old.find(hash, name).and_then(|index| self.old.entries.get(index));
            self.moved += usize::from(old.is_some());
            let state = old.map_or_else(new, |entry| entry.state);
            self.young.insert(hash, name, state)
        });
        &mut self.young.entries[index].state
    }

    /// Those that were used since room was last made: type, id, and state.
    pub fn used(&mut self) -> impl Iterator<Item = (&str, &str, &mut S)> {
        self.young.entries.iter_mut().map(|Entry { name, state }| {
            let (aggregate_type, aggregate_id) = name.texts();
            (aggregate_type, aggregate_id, state)
        })
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        (self.young, self.old, self.moved) = Default::default();
    }

    /// All of them, in no order: type, id, and state.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &S)> {
        let old = self.old.table.iter().filter_map(|&(hash, index)| {
            let entry = &self.old.entries[index as usize];
            self.young.find(hash, entry.name.texts()).is_none().then_some(entry)
        });
        self.young.entries.iter().chain(old).map(|Entry { name, state }| {
            let (aggregate_type, aggregate_id) = name.texts();
            (aggregate_type, aggregate_id, state)
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.entries.len() + self.old.entries.len() - self.moved
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

    fn touch(entries: &mut StateTable<u32>, id: &str) -> u32 {
        entries.make_room(1);
        let state = entries.get_or_insert(IdHash::of(id), ("t", id), || 0);
        *state += 1;
        *state
    }

    #[test]
    fn there_are_never_more_than_the_limit_and_what_is_used_stays() {
        let mut entries = StateTable::new(10);
        for round in 1..=1000 {
            assert_eq!(touch(&mut entries, "used in every round"), round);
            touch(&mut entries, &format!("used once {round}"));
            assert!(entries.len() <= 10, "{}", entries.len());
        }
    }

    #[test]
    fn each_is_counted_and_shown_once_and_dropped_or_there() {
        let (mut entries, mut made, mut dropped) = (StateTable::new(10), 0, 0);
        for round in 0..1000 {
            let id = format!("{}", round * 7 % 23 % (1 + round % 11));
            dropped += entries.make_room(1);
            *entries.get_or_insert(IdHash::of(&id), ("t", &id), || {
                made += 1;
                0
            }) = round;
            let shown: Vec<_> = entries.iter().map(|(_, id, _)| id.to_owned()).collect();
            let different: std::collections::HashSet<_> = shown.iter().collect();
            assert_eq!((shown.len(), different.len()), (entries.len(), entries.len()));
            assert!(entries.iter().any(|(_, shown, state)| shown == id && *state == round));
            assert_eq!(made, dropped + entries.len(), "round {round}");
        }
        assert!(dropped > 100);
    }

    #[test]
    fn aggregates_of_one_hash_are_distinguished_however_long_their_names_are() {
        let mut entries = StateTable::new(10);
        let hash = IdHash::of("x");
        let long = "l".repeat(SHORT);
        let names = [("a", "bc"), ("ab", "c"), ("abc", ""), ("a", "bd"), (&long, "a"), (&long[1..], "a"), ("", "")];
        for (n, name) in names.into_iter().enumerate() {
            assert_eq!(*entries.get_or_insert(hash, name, || n), n);
        }
        // They move from the old generation to the young one.
        entries.make_room(10);
        for (n, name) in names.into_iter().enumerate().rev() {
            assert_eq!(*entries.get_or_insert(hash, name, || 99), n);
        }
        let used: Vec<_> = entries.used().map(|(t, id, n)| ((t.to_owned(), id.to_owned()), *n)).collect();
        let expected = names.into_iter().enumerate().rev().map(|(n, (t, id))| ((t.to_owned(), id.to_owned()), n));
        assert_eq!(used, expected.collect::<Vec<_>>());
    }
}
