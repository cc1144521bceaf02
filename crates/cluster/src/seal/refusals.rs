//! Messages that were not taken in: counted, and reported in words now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often it is reported at most: whoever floods a node must not fill its log too.
const REPORTED: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(crate) struct Refusals {
    count: AtomicU64,
    /// When it was reported last, and how many there were.
    reported: Mutex<Option<(Instant, u64)>>,
}

impl Refusals {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Something for this subject does not verify.
    pub(crate) fn unverified(&self, subject: &str) {
        if let Some(more) = self.report() {
            tracing::warn!(
                subject,
                "{more} messages were ignored that no node of this cluster has sealed: whoever sends them has another \
                 EVENFOLD_CLUSTER_SECRET, runs another version of evenfold, or is a stranger; compare the secrets of the nodes, \
                 and see who is connected to NATS"
            );
        }
    }

    /// Something for this subject was taken in before, or is older than what is remembered.
    pub(crate) fn repeated(&self, subject: &str) {
        if let Some(more) = self.report() {
            tracing::warn!(
                subject,
                "{more} messages were ignored, the last one of which has come before: somebody who can read what the nodes send \
                 sends it again; see who is connected to NATS"
            );
        }
    }

    /// How many there were since the last report, if one is due.
    fn report(&self) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match *reported {
            Some((at, _)) if at.elapsed() < REPORTED => return None,
            Some((_, before)) => before,
            None => 0,
        };
        *reported = Some((Instant::now(), count));
        Some(count.saturating_sub(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_of_a_minute_is_reported() {
        let refusals = Refusals::default();
        let reports: Vec<_> = (0..5).map(|_| refusals.report()).collect();
        assert_eq!(reports, [Some(1), None, None, None, None]);
        assert_eq!(refusals.count(), 5);
        *refusals.reported.lock().unwrap() = Instant::now().checked_sub(REPORTED).map(|at| (at, 1));
        assert_eq!(refusals.report(), Some(5), "those that were not reported are in the next report");
    }
}
