//! When an append notifies the workers: often enough, and not for each of many.

use crate::database::Schema;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// The shortest pause between two notifications of one process. Whoever notifies takes, at its commit, a lock that the
/// whole cluster has one of: notifications of every append would make commits wait for each other. A worker that was
/// woken looks for more for longer than this.
const PAUSE_MS: u64 = 50;

/// When appends last notified, in milliseconds of [`now`]; 0 for never. One per process, not per connection: it is the
/// process's commits, whatever the connection, that would wait for each other.
#[derive(Debug)]
pub(super) struct Turns(AtomicU64);

/// The turns of one schema: whoever listens for one log is not woken by what is appended to another.
#[derive(Debug)]
pub(super) struct Both {
    own: Turns,
    callers: Turns,
}

/// Those of the default schema, which need no lock.
static DEFAULT: Both = Both::new();

/// Those of the others. As many as a process has schemas, which it keeps for as long as it runs.
static OTHERS: Mutex<Option<HashMap<String, &'static Both>>> = Mutex::new(None);

/// The turns of a schema.
pub(super) fn of(schema: &Schema) -> &'static Both {
    if *schema == Schema::default() {
        return &DEFAULT;
    }
    let mut others = OTHERS.lock().unwrap_or_else(PoisonError::into_inner);
    let others = others.get_or_insert_default();
    others.entry(schema.name().to_owned()).or_insert_with(|| Box::leak(Box::new(Both::new())))
}

impl Both {
    const fn new() -> Self {
        Self { own: Turns(AtomicU64::new(0)), callers: Turns(AtomicU64::new(0)) }
    }

    /// Of appends that are a transaction of their own.
    pub(super) fn own(&self) -> &Turns {
        &self.own
    }

    /// Of appends within transactions of their callers. They may commit much later, or not at all, and must not use up
    /// the turns of those that commit now.
    pub(super) fn callers(&self) -> &Turns {
        &self.callers
    }
}

impl Turns {
    /// Whether to notify now. Of several who ask at the same time one does.
    pub(super) fn take(&self) -> bool {
        let now = now();
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| is_due(last, now).then_some(now)).is_ok()
    }

    /// The turn was taken, and nothing was appended: the next may have it.
    pub(super) fn give_back(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

fn is_due(last: u64, now: u64) -> bool {
    last == 0 || now.saturating_sub(last) >= PAUSE_MS
}

/// Milliseconds since the first call, plus 1.
fn now() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_due_and_then_one_per_pause() {
        let mut due = Vec::new();
        let mut last = 0;
        for now in 1..=170 {
            if is_due(last, now) {
                due.push(now);
                last = now;
            }
        }
        assert_eq!(due, [1, 51, 101, 151]);
        assert!(!is_due(100, 90), "a thread that read the clock before another has taken the turn");
    }

    #[test]
    fn an_append_to_one_schema_takes_no_turn_of_another() -> Result<(), crate::database::InvalidSchema> {
        let (one, other) = (Schema::named("turns_one")?, Schema::named("turns_other")?);
        assert!(of(&one).own().take() && !of(&one).own().take());
        assert!(of(&other).own().take() && of(&one).callers().take());
        Ok(())
    }

    #[test]
    fn of_many_at_once_one_has_the_turn_until_it_gives_it_back() {
        let turns = Turns(AtomicU64::new(0));
        assert_eq!((0..100).filter(|_| turns.take()).count(), 1);
        turns.give_back();
        assert!(turns.take());
    }
}
