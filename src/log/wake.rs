//! When an append notifies the workers: often enough, and not for each of many.

use crate::database::Schema;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The longest pause between two notifications of one process that appends, in microseconds, as all times are here.
/// Whoever notifies takes, at its commit, a lock that the whole cluster has one of, and has it until the commit is on
/// disk: notifications of every append would make commits wait for each other. A worker that was woken looks for more
/// for longer than this.
const PAUSE: u64 = 50_000;

/// A process that has appended nothing for so long notifies before that is over: commits of one that appends seldom do
/// not wait for each other, and its events are seen a look sooner.
const QUIET: u64 = 5_000;

/// As many times as long as the last append that notified took, a process has to append without. So those that append
/// seldom, if they are many, or if the disk is slow, keep the lock for a part of the time only.
const SHARE: u64 = 10;

/// When appends last notified, one per process, not per connection: it is the process's commits, whatever the
/// connection, that would wait for each other. As of [`now`], 0 for never.
#[derive(Debug)]
pub(super) struct Turns {
    notified: AtomicU64,
    asked: AtomicU64,
    /// How long the last one took that notified.
    took: AtomicU64,
}

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
        // How long the transactions of callers take is not known.
        Self { own: Turns::new(0), callers: Turns::new(PAUSE) }
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
    const fn new(took: u64) -> Self {
        Self { notified: AtomicU64::new(0), asked: AtomicU64::new(0), took: AtomicU64::new(took) }
    }

    /// Whether to notify now. Of several who ask at the same time one does.
    pub(super) fn take(&self) -> bool {
        let now = now();
        let asked = self.asked.swap(now, Ordering::Relaxed);
        let took = self.took.load(Ordering::Relaxed);
        let due = |last| is_due(last, asked, now, took).then_some(now);
        self.notified.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok()
    }

    /// An append that is a transaction of its own has notified, and taken so long.
    pub(super) fn took(&self, time: Duration) {
        self.took.store(micros(time), Ordering::Relaxed);
    }

    /// The turn was taken, and nothing was appended: the next may have it.
    pub(super) fn give_back(&self) {
        self.notified.store(0, Ordering::Relaxed);
    }
}

fn is_due(notified: u64, asked: u64, now: u64, took: u64) -> bool {
    let is_quiet = now.saturating_sub(asked) >= QUIET;
    let pause = if is_quiet { took.saturating_mul(SHARE).min(PAUSE) } else { PAUSE };
    notified == 0 || now.saturating_sub(notified) >= pause
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since the first call, plus 1.
fn now() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    micros(FIRST.get_or_init(Instant::now).elapsed()).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a process notifies that appends every so many milliseconds, each of which takes so many microseconds.
    fn notified(every: usize, took: u64) -> Vec<u64> {
        let (mut notified, mut asked, mut due) = (0, 0, Vec::new());
        for ms in (1_u64..=170).step_by(every) {
            let now = ms * 1_000;
            if is_due(notified, asked, now, took) {
                due.push(ms);
                notified = now;
            }
            asked = now;
        }
        due
    }

    #[test]
    fn the_first_is_due_and_then_one_per_pause_while_a_process_appends_often() {
        assert_eq!(notified(1, 100), [1, 51, 101, 151]);
        assert_eq!(notified(4, 0), [1, 53, 105, 157]);
        assert!(!is_due(100_000, 90_000, 90_000, 0), "a thread that read the clock before another has taken the turn");
    }

    #[test]
    fn each_append_of_a_process_that_appends_seldom_is_due_unless_it_would_take_a_large_part_of_the_time() {
        assert_eq!(notified(40, 1_000), [1, 41, 81, 121, 161]);
        assert_eq!(notified(10, 500).len(), 17);
        assert_eq!(notified(10, 2_000), [1, 21, 41, 61, 81, 101, 121, 141, 161], "a tenth of the time");
        assert_eq!(notified(10, 1_000_000), [1, 51, 101, 151], "the longest pause");
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
        let turns = Turns::new(PAUSE);
        assert_eq!((0..100).filter(|_| turns.take()).count(), 1);
        turns.give_back();
        assert!(turns.take());
    }
}
