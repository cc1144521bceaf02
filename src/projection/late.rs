//! A heartbeat that is late says so: in the log while it is, and in the worker's state for a while after.

use crate::class::Class;
use std::time::{Duration, Instant};

/// While it is late, it is logged this often; and so long its lateness stays in the worker's state.
const REPORTED_FOR: Duration = Duration::from_mins(1);

/// A heartbeat is late that comes so many intervals after the last one, and at least this long after it.
const MISSED: u32 = 3;
const AT_LEAST: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Lateness {
    partition: Class,
    late_after: Duration,
    written: Instant,
    logged: Option<Instant>,
    /// When the last late one was written, and how late that was.
    was_late: Option<(Instant, Duration)>,
}

impl Lateness {
    pub(super) fn new(partition: Class, interval: Duration, now: Instant) -> Self {
        let late_after = (interval * MISSED).max(AT_LEAST);
        Self { partition, late_after, written: now, logged: None, was_late: None }
    }

    /// How long none was written, if that is too long.
    fn late(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.written)).filter(|since| *since > self.late_after)
    }

    /// What a heartbeat that is written now says of its lateness, or of an earlier one's.
    pub(super) fn note(&self, now: Instant) -> Option<String> {
        let recent = self.was_late.filter(|(when, _)| now.saturating_duration_since(*when) < REPORTED_FOR);
        let late = self.late(now).or(recent.map(|(_, late)| late))?;
        Some(format!("no heartbeat for {:.0} s", late.as_secs_f64()))
    }

    pub(super) fn failed(&mut self, why: &str, now: Instant) {
        let Some(late) = self.late(now) else {
            tracing::debug!(partition = %self.partition, %why, "no heartbeat was written");
            return;
        };
        if self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= REPORTED_FOR) {
            self.logged = Some(now);
            tracing::warn!(partition = %self.partition, "no heartbeat was written for {late:.0?}: {why}; trying again. \
                Others may take this worker for dead");
        }
    }

    pub(super) fn written(&mut self, now: Instant) {
        // Also where nothing has failed: a process that was paused notices here.
        if let Some(late) = self.late(now) {
            tracing::warn!(partition = %self.partition, "the heartbeat is back, after {late:.0?} without one");
            self.was_late = Some((now, late));
        }
        (self.written, self.logged) = (now, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_that_is_late_says_by_how_much_and_for_a_minute_after() {
        let start = Instant::now();
        let mut lateness = Lateness::new(Class::partition(0, 1).unwrap(), 2 * SECOND, start);
        lateness.written(start + 6 * SECOND);
        assert_eq!(lateness.note(start + 12 * SECOND), None, "three intervals are not late");
        lateness.failed("a lock", start + 20 * SECOND);
        let message = Some("no heartbeat for 22 s".to_owned());
        assert_eq!(lateness.note(start + 28 * SECOND), message);
        lateness.written(start + 28 * SECOND);
        assert_eq!(lateness.note(start + 87 * SECOND), Some("no heartbeat for 59 s".to_owned()), "late again");
        lateness.written(start + 30 * SECOND);
        assert_eq!(lateness.note(start + 31 * SECOND), message);
        lateness.written(start + 87 * SECOND);
        assert_eq!(lateness.note(start + 88 * SECOND), Some("no heartbeat for 57 s".to_owned()));
    }
}
