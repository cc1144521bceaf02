//! Why nobody in this process works on a partition: from the first failure until a step succeeds.

use crate::class::Class;
use crate::database::back_off;
use std::time::{Duration, Instant};

/// A partition that nobody works on is an error in the log at once, and again this often.
const LOGGED_EVERY: Duration = Duration::from_mins(1);

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

/// The failures in a row of one partition, across restarts of its worker.
#[derive(Debug, Default)]
pub(super) struct Failures {
    trouble: Option<Trouble>,
    logged: Option<Instant>,
}

impl Failures {
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble.clone()
    }

    /// Records a failure, and gives the pause before the next try.
    pub(super) fn failed(&mut self, partition: Class, why: String, now: Instant) -> Duration {
        let (since, before) = self.trouble.as_ref().map_or((now, 0), |trouble| (trouble.since, trouble.failures));
        let (failures, pause) = (before.saturating_add(1), back_off(before));
        if self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= LOGGED_EVERY) {
            self.logged = Some(now);
            let lasted = now.saturating_duration_since(since);
            tracing::error!(%partition, failures, "nobody works on this partition here, for {lasted:.0?}: {why}; \
                trying again in {pause:.1?}");
        } else {
            tracing::debug!(%partition, failures, "{why}; trying again in {pause:.1?}");
        }
        self.trouble = Some(Trouble { why, since, failures, next_try: Some(now + pause) });
        pause
    }

    /// Records that it is not tried again. Whoever receives the worker's end reports it.
    pub(super) fn ended(&mut self, why: String, now: Instant) {
        let (since, failures) = self.trouble.as_ref().map_or((now, 0), |trouble| (trouble.since, trouble.failures));
        self.trouble = Some(Trouble { why, since, failures: failures.saturating_add(1), next_try: None });
    }

    /// Records that a step has succeeded.
    pub(super) fn recovered(&mut self, partition: Class, now: Instant) {
        if let Some(Trouble { since, failures, .. }) = self.trouble.take() {
            let lasted = now.saturating_duration_since(since);
            tracing::info!(%partition, failures, "this partition is worked on again, after {lasted:.1?}");
        }
        self.logged = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Class {
        Class::partition(0, 1).unwrap()
    }

    #[test]
    fn failures_in_a_row_are_one_trouble_with_growing_pauses_until_a_step_succeeds() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        assert_eq!(failures.trouble(), None);
        let mut longest = Duration::ZERO;
        for n in 1..=12 {
            let now = start + n * Duration::from_secs(1);
            let pause = failures.failed(partition(), format!("failure {n}"), now);
            let trouble = failures.trouble().unwrap();
            assert_eq!((trouble.failures, trouble.since), (n, start + Duration::from_secs(1)));
            assert_eq!((trouble.why, trouble.next_try), (format!("failure {n}"), Some(now + pause)));
            longest = longest.max(pause);
        }
        assert!(longest > Duration::from_secs(4), "they grow: {longest:?}");
        failures.recovered(partition(), start);
        assert_eq!(failures.trouble(), None);
        failures.failed(partition(), "anew".to_owned(), start);
        assert_eq!(failures.trouble().unwrap().failures, 1);
    }

    #[test]
    fn a_partition_that_has_ended_has_no_next_try() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        failures.failed(partition(), "lost".to_owned(), start);
        failures.ended("superseded".to_owned(), start + Duration::from_secs(1));
        let trouble = failures.trouble().unwrap();
        assert_eq!((trouble.since, trouble.next_try), (start, None));
        assert_eq!(trouble.why, "superseded");
    }
}
