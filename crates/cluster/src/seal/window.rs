//! That a message is taken in once, though it may come late.

use std::collections::HashMap;
use std::hash::Hash;

/// How far a message may come behind later ones of its sender: far more than a sender has on their way.
const WIDTH: u64 = 1_024;

const WORDS: usize = 16;
const _: () = assert!(WORDS as u64 * 64 == WIDTH);

/// Which of a sender's last numbers have come.
#[derive(Debug, Clone, Default)]
struct Window {
    highest: u64,
    /// A ring of bits, one per number.
    come: [u64; WORDS],
}

impl Window {
    /// Whether this number comes for the first time. One that is too old to know counts as repeated.
    fn take(&mut self, number: u64) -> bool {
        if number > self.highest {
            for passed in self.highest.max(number.saturating_sub(WIDTH)) + 1..=number {
                self.clear(passed);
            }
            self.highest = number;
        } else if self.highest - number >= WIDTH {
            return false;
        }
        let (word, bit) = place(number);
        let first = self.come[word] & bit == 0;
        self.come[word] |= bit;
        first
    }

    fn clear(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.come[word] &= !bit;
    }
}

fn place(number: u64) -> (usize, u64) {
    let at = number % WIDTH;
    // Below the width, so it fits.
    (usize::try_from(at / 64).unwrap_or_default(), 1 << (at % 64))
}

/// The windows of several senders. Where there are more than it may remember, the one that has sent nothing for longest
/// is forgotten.
#[derive(Debug)]
pub(crate) struct Windows<K> {
    of: HashMap<K, (u64, Window)>,
    limit: usize,
    uses: u64,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken<K> {
    pub(crate) first: bool,
    /// Whose messages would be taken in again.
    pub(crate) forgotten: Option<K>,
}

impl<K: Copy + Eq + Hash> Windows<K> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { of: HashMap::new(), limit, uses: 0 }
    }

    pub(crate) fn knows(&self, sender: &K) -> bool {
        self.of.contains_key(sender)
    }

    pub(crate) fn take(&mut self, sender: K, number: u64) -> Taken<K> {
        let full = self.of.len() >= self.limit && !self.knows(&sender);
        let forgotten =
            full.then(|| self.of.iter().min_by_key(|(_, (used, _))| *used).map(|(oldest, _)| *oldest)).flatten();
        if let Some(oldest) = &forgotten {
            self.of.remove(oldest);
        }
        self.uses += 1;
        let (used, window) = self.of.entry(sender).or_default();
        *used = self.uses;
        Taken { first: window.take(number), forgotten }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_number_is_taken_once_and_late_ones_as_long_as_they_are_in_the_window(
            numbers in proptest::collection::vec(1..5_000_u64, 0..400),
        ) {
            let (mut window, mut come, mut highest) = (Window::default(), BTreeSet::new(), 0);
            for number in numbers {
                let late = number + WIDTH <= highest;
                prop_assert_eq!(window.take(number), !late && !come.contains(&number), "{} after {}", number, highest);
                come.insert(number);
                highest = highest.max(number);
            }
        }
    }

    #[test]
    fn a_number_far_ahead_leaves_nothing_of_before() {
        let mut window = Window::default();
        assert!(window.take(1) && window.take(u64::MAX) && !window.take(1) && window.take(u64::MAX - 1));
        assert!(!window.take(u64::MAX));
    }

    #[test]
    fn senders_are_apart_and_the_one_that_is_idle_for_longest_is_forgotten() {
        let mut windows = Windows::new(2);
        let first = |forgotten| Taken { first: true, forgotten };
        assert_eq!(windows.take("a", 1), first(None));
        assert_eq!(windows.take("b", 1), first(None));
        assert_eq!(windows.take("a", 1), Taken { first: false, forgotten: None });
        assert_eq!(windows.take("c", 1), first(Some("b")));
        assert!(windows.knows(&"a") && !windows.knows(&"b"));
    }
}
