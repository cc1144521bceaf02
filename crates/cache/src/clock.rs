//! The clock of a cache, and the machine's.

use super::entry::NEVER;
use super::options::is_ttl;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Where the machine's clock has moved by less than this against the cache's, the moments that are shown stay as they
/// are: each entry shows the same one every time.
const TOLERATED: u64 = 100_000_000;

/// Nanoseconds since the start, which nobody can set: what lives for a second does so whatever happens to the machine's
/// clock.
#[derive(Debug)]
pub(super) struct CacheClock {
    start: Instant,
    /// The start by the machine's clock, in nanoseconds since 1970.
    started: AtomicU64,
}

impl CacheClock {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), started: AtomicU64::new(since_1970(SystemTime::now())) }
    }

    /// Nanoseconds since the start, which 64 bits have room for during 500 years.
    pub(super) fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// Looks whether the machine's clock was set. To be called now and then.
    pub(super) fn follow(&self, machine: SystemTime) {
        let started = since_1970(machine).saturating_sub(self.now());
        if started.abs_diff(self.started.load(Ordering::Relaxed)) > TOLERATED {
            self.started.store(started, Ordering::Relaxed);
        }
    }

    /// The moment by the machine's clock.
    pub(super) fn shown(&self, moment: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.started.load(Ordering::Relaxed).saturating_add(moment))
    }

    /// The moment that the machine's clock shows as this; none if that is not as far away as a time to live may be.
    pub(super) fn moment(&self, shown: SystemTime) -> Option<u64> {
        let moment = since_1970(shown).checked_sub(self.started.load(Ordering::Relaxed))?;
        let left = Duration::from_nanos(moment.checked_sub(self.now())?);
        is_ttl(left).then_some(moment)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER - 1)
}

/// Before 1970 there was no cache.
fn since_1970(time: SystemTime) -> u64 {
    nanos(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MAX_TTL, MIN_TTL};
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_moment_is_shown_as_it_was_given_to_the_nanosecond_and_however_often() {
        let clock = CacheClock::new();
        let given = SystemTime::now() + 1_000 * SECOND + Duration::from_nanos(1);
        let moment = clock.moment(given).unwrap();
        for _ in 0..10 {
            advance(SECOND).await;
            assert_eq!(clock.shown(moment), given);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_machines_clock_that_was_set_is_followed_and_one_that_is_slightly_off_is_not() {
        let clock = CacheClock::new();
        let (start, moment) = (clock.shown(0), 100_000_000_000);
        advance(SECOND).await;
        for slightly in [Duration::from_millis(900), Duration::from_millis(1_100)] {
            clock.follow(start + slightly);
            assert_eq!(clock.shown(moment), start + 100 * SECOND);
        }
        clock.follow(start + 3_601 * SECOND);
        assert_eq!(clock.shown(moment), start + 3_700 * SECOND, "it is an hour ahead, and the entry lives as long");
    }

    #[tokio::test(start_paused = true)]
    async fn moments_are_from_a_millisecond_to_ten_years_away() {
        let clock = CacheClock::new();
        let now = clock.shown(0);
        let near = Duration::from_micros(999);
        for time in [SystemTime::UNIX_EPOCH, now - SECOND, now, now + near, now + MAX_TTL + SECOND] {
            assert_eq!(clock.moment(time), None, "{time:?}");
        }
        assert_eq!(clock.moment(now + MIN_TTL), Some(1_000_000));
        assert!(clock.moment(now + MAX_TTL).is_some());
    }
}
