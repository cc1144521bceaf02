//! A value that every message reads and hardly anybody changes: several copies of it, each behind a lock of its own.
//!
//! Readers of one lock write to its cache line, and so wait for each other; here those of different threads mostly do
//! not. Who changes the value holds all locks, so that nobody reads meanwhile.

use crate::threads;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const COPIES: usize = 16;

/// Alone in two cache lines: processors fetch lines by pairs.
#[repr(align(128))]
struct Line<T>(RwLock<T>);

pub(super) struct Copies<T> {
    lines: [Line<T>; COPIES],
}

impl<T: Clone + Default> Copies<T> {
    pub(super) fn new() -> Self {
        Self { lines: std::array::from_fn(|_| Line(RwLock::default())) }
    }

    /// The value. It does not change as long as this is held.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, T> {
        // Nothing of the user's runs under these locks.
        self.lines[threads::number() % COPIES].0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody reads, and lets nobody read as long as this is held.
    pub(super) fn write(&self) -> Writing<'_, T> {
        Writing(self.lines.iter().map(|line| line.0.write().unwrap_or_else(PoisonError::into_inner)).collect())
    }
}

/// All copies, locked in the order of their places: two who write can't wait for each other.
pub(super) struct Writing<'a, T>(Vec<RwLockWriteGuard<'a, T>>);

impl<T: Clone> Writing<'_, T> {
    pub(super) fn set(&mut self, value: &T) {
        for copy in &mut self.0 {
            copy.clone_from(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reads_any_copy_from_before_the_change_until_after_it_and_then_all_have_it() {
        let copies = Copies::<u64>::new();
        let locked = || copies.lines.iter().all(|line| line.0.try_read().is_err());
        let mut writing = copies.write();
        assert!(locked());
        writing.set(&7);
        assert!(locked(), "one copy can be read while others may still be read as they were");
        drop(writing);
        assert!(copies.lines.iter().all(|line| *line.0.try_read().unwrap() == 7));
    }
}
