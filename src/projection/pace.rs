//! When a worker looks at the log again: at once after it has applied something, often while events come, and seldom
//! once they have ceased, unless somebody wakes it.

use super::Step;
use std::time::{Duration, Instant};

/// The pause between two looks while events come: half of the time since the last one, within these limits. Half of it
/// is part of an event's latency; a look costs the server some 30 µs. Where an event comes every millisecond the pause
/// is short, and where one comes every ten few looks are in vain.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// How many workers of one process may look that often. More of them share what these would cost the server.
const BUSY_WORKERS: u32 = 4;

/// For how long after the last event or notification events are expected to come. A process that appends often notifies
/// every 50 ms: what it appends in between finds the workers that were woken before still busy.
const BUSY_FOR: Duration = Duration::from_millis(100);

/// The pause between two looks of a worker that stands by, at the partition of another one.
const STANDING_BY_PAUSE: Duration = Duration::from_millis(100);

/// What to do before the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// Nothing.
    None,
    /// Wait so long, or until woken.
    UntilWoken(Duration),
    /// Wait so long.
    Fixed(Duration),
}

/// The pace of one worker.
#[derive(Debug)]
pub(super) struct Pace {
    poll_interval: Duration,
    rest: Duration,
    /// When there was something, or somebody notified.
    last: Option<Instant>,
}

impl Pace {
    /// Of a worker that looks at least this often, and rests this long after it has caught up.
    pub(super) fn new(poll_interval: Duration, rest: Duration) -> Self {
        Self { poll_interval, rest, last: None }
    }

    /// Somebody says that there is something, or there was something.
    pub(super) fn woken(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// The pause after a step of a worker that is one of so many in its process.
    pub(super) fn after(&mut self, step: Step, now: Instant, workers: u32) -> Pause {
        match step {
            Step::Applied(applied) => {
                self.woken(now);
                if applied.caught_up && !self.rest.is_zero() { Pause::Fixed(self.rest) } else { Pause::None }
            }
            Step::Converged | Step::Outrun => Pause::None,
            // It is of no use to wake it: what it waits for is that nothing happens.
            Step::StandingBy => Pause::Fixed(STANDING_BY_PAUSE),
            Step::CaughtUp => match self.last.map(|last| now.saturating_duration_since(last)) {
                Some(since) if since < BUSY_FOR => {
                    let pause = (since / 2).clamp(SHORTEST_PAUSE, BUSY_PAUSE);
                    Pause::UntilWoken((pause * workers.div_ceil(BUSY_WORKERS).max(1)).min(self.poll_interval))
                }
                _ => Pause::UntilWoken(self.poll_interval),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Position;
    use crate::projection::Applied;

    const HOUR: Duration = Duration::from_hours(1);
    const APPLIED: Step = Step::Applied(Applied { events: 1, parked: 0, position: Position::new(1), caught_up: true });

    #[test]
    fn a_worker_looks_often_after_an_event_ever_less_often_and_then_waits_until_it_is_woken() {
        let (mut pace, start) = (Pace::new(HOUR, Duration::ZERO), Instant::now());
        let idle = Pause::UntilWoken(HOUR);
        assert_eq!(pace.after(Step::CaughtUp, start, 1), idle, "nothing has happened yet");
        assert_eq!(pace.after(APPLIED, start, 1), Pause::None);
        for (since, pause) in [(0, 100), (190, 100), (400, 200), (1_200, 600), (2_000, 1_000), (99_999, 1_000)] {
            let now = start + Duration::from_micros(since);
            assert_eq!(
                pace.after(Step::CaughtUp, now, 1),
                Pause::UntilWoken(Duration::from_micros(pause)),
                "{since} µs"
            );
        }
        assert_eq!(pace.after(Step::CaughtUp, start + BUSY_FOR, 1), idle, "looking does not prolong it");
        pace.woken(start + HOUR);
        assert_eq!(pace.after(Step::CaughtUp, start + HOUR, 1), Pause::UntilWoken(SHORTEST_PAUSE));
    }

    #[test]
    fn a_worker_that_is_to_rest_does_so_once_it_has_caught_up() {
        let (mut pace, now) = (Pace::new(HOUR, Duration::from_millis(7)), Instant::now());
        let behind = Step::Applied(Applied { events: 1, parked: 0, position: Position::new(1), caught_up: false });
        assert_eq!(pace.after(behind, now, 1), Pause::None);
        assert_eq!(pace.after(APPLIED, now, 1), Pause::Fixed(Duration::from_millis(7)));
        assert_eq!(pace.after(Step::CaughtUp, now, 1), Pause::UntilWoken(SHORTEST_PAUSE));
    }

    #[test]
    fn the_poll_interval_is_the_longest_pause() {
        let (mut pace, now) = (Pace::new(Duration::from_micros(10), Duration::ZERO), Instant::now());
        pace.woken(now);
        assert_eq!(pace.after(Step::CaughtUp, now, 1_000), Pause::UntilWoken(Duration::from_micros(10)));
    }

    #[test]
    fn the_workers_of_a_process_share_what_looking_may_cost() {
        let (mut pace, now) = (Pace::new(HOUR, Duration::ZERO), Instant::now());
        pace.woken(now);
        for (workers, pauses) in [(0, 1), (1, 1), (4, 1), (5, 2), (16, 4), (64, 16)] {
            let pause = Pause::UntilWoken(SHORTEST_PAUSE * pauses);
            assert_eq!(pace.after(Step::CaughtUp, now, workers), pause, "{workers}");
        }
    }

    #[test]
    fn a_worker_that_stands_by_is_in_no_hurry_however_short_the_poll_interval_and_however_long() {
        for poll_interval in [Duration::from_millis(1), HOUR] {
            let (mut pace, now) = (Pace::new(poll_interval, Duration::ZERO), Instant::now());
            pace.woken(now);
            assert_eq!(pace.after(Step::StandingBy, now, 1), Pause::Fixed(STANDING_BY_PAUSE));
        }
    }
}
