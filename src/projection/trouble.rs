//! Why nobody in this process works on a partition: from the first failure until a step succeeds.

use crate::database::back_off;
use std::time::{Duration, Instant};

/// A partition that nobody works on is an error in the log at once, and again this often.
const LOGGED_EVERY: Duration = Duration::from_mins(1);

/// Another reason is logged earlier, but not for every failure of many that differ.
const CHANGED_EVERY: Duration = Duration::from_secs(5);

/// Why nobody in this process works on a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What failed last, in a sentence.
    pub why: String,
    /// When the first of the failures in a row was.
    pub since: Instant,
    /// How many failures in a row there were, at least 1.
    pub failures: u32,
    /// When it is tried again. None: never in this process, because `why` says what a human must change in it.
    pub next_try: Option<Instant>,
}

/// What to do after a failure.
pub(super) struct Retry {
    pub(super) failures: u32,
    /// The pause before the next try.
    pub(super) pause: Duration,
    /// If it is to be logged now: for how long it has failed, in words, or nothing at the first failure.
    pub(super) report: Option<String>,
}

fn lasted(time: Duration) -> String {
    if time.is_zero() { String::new() } else { format!(", for {:.0} s", time.as_secs_f64()) }
}

/// The failures in a row of one partition, across restarts of its worker.
#[derive(Debug, Default)]
pub(super) struct Failures {
    trouble: Option<Trouble>,
    logged: Option<(Instant, String)>,
}

impl Failures {
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble.clone()
    }

    /// Records a failure.
    pub(super) fn failed(&mut self, why: &str, now: Instant) -> Retry {
        let (since, before) = self.trouble.as_ref().map_or((now, 0), |trouble| (trouble.since, trouble.failures));
        let (failures, pause) = (before.saturating_add(1), back_off(before));
        let due = self.logged.as_ref().is_none_or(|(logged, reason)| {
            let every = if reason == why { LOGGED_EVERY } else { CHANGED_EVERY };
            now.saturating_duration_since(*logged) >= every
        });
        if due {
            self.logged = Some((now, why.to_owned()));
        }
        self.trouble = Some(Trouble { why: why.to_owned(), since, failures, next_try: Some(now + pause) });
        Retry { failures, pause, report: due.then(|| lasted(now.saturating_duration_since(since))) }
    }

    /// Records that it is not tried again. Whoever receives the worker's end reports it.
    pub(super) fn ended(&mut self, why: &str, now: Instant) {
        let (since, failures) = self.trouble.as_ref().map_or((now, 0), |trouble| (trouble.since, trouble.failures));
        self.trouble =
            Some(Trouble { why: why.to_owned(), since, failures: failures.saturating_add(1), next_try: None });
    }

    /// Records that nothing fails any more, and gives how long something did.
    pub(super) fn recovered(&mut self, now: Instant) -> Option<Duration> {
        self.logged = None;
        Some(now.saturating_duration_since(self.trouble.take()?.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_one_trouble_with_growing_pauses_until_a_step_succeeds() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        assert_eq!(failures.trouble(), None);
        let mut longest = Duration::ZERO;
        for n in 1..=12 {
            let now = start + n * Duration::from_secs(10);
            let Retry { failures: count, pause, report } = failures.failed("a lock", now);
            // At once, and after a minute.
            let expected = [(1, ""), (7, ", for 60 s")].iter().find(|(at, _)| *at == n).map(|(_, message)| *message);
            assert_eq!((count, report.as_deref()), (n, expected));
            let trouble = failures.trouble().unwrap();
            assert_eq!((trouble.failures, trouble.since), (n, start + Duration::from_secs(10)));
            assert_eq!((trouble.why, trouble.next_try), ("a lock".to_owned(), Some(now + pause)));
            longest = longest.max(pause);
        }
        assert!(longest > Duration::from_secs(4), "they grow: {longest:?}");
        assert_eq!(failures.recovered(start + Duration::from_secs(130)), Some(Duration::from_mins(2)));
        assert_eq!((failures.trouble(), failures.recovered(start)), (None, None));
        let anew = failures.failed("anew", start + Duration::from_secs(131));
        assert_eq!((anew.failures, anew.report.as_deref()), (1, Some("")));
    }

    #[test]
    fn another_reason_is_logged_before_the_minute_has_passed() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let mut logged = |why: &str, seconds| failures.failed(why, start + Duration::from_secs(seconds)).report;
        assert_eq!(logged("the connection was lost", 0).as_deref(), Some(""));
        assert_eq!(logged("the server is a standby", 1), None, "there may be another one each time");
        assert_eq!(logged("the server is a standby", 6).as_deref(), Some(", for 6 s"));
        assert_eq!(logged("the server is a standby", 20), None);
    }

    #[test]
    fn a_partition_that_has_ended_has_no_next_try() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        failures.failed("lost", start);
        failures.ended("superseded", start + Duration::from_secs(1));
        let trouble = failures.trouble().unwrap();
        assert_eq!((trouble.since, trouble.next_try), (start, None));
        assert_eq!(trouble.why, "superseded");
    }
}
