//! Numbers of threads, so that each can have a place of its own where all of them would fight for one.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads have a number. It is no state of any group or cache: it is the same for all of them.
static NUMBERED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The thread's number plus 1; 0 before it has one.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// A number that no other thread has or has had: 0 for the first that asks.
#[must_use]
pub fn number() -> usize {
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NUMBERED.fetch_add(1, Ordering::Relaxed) + 1);
        }
        number.get() - 1
    })
}
