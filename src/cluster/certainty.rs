//! Whether others may have taken this node for dead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// When the last heartbeat that was acknowledged was sent: not when the acknowledgement came, as the others count from an
/// earlier time then.
#[derive(Debug)]
pub(super) struct Certainty {
    since: Instant,
    /// In microseconds since then, plus 1; 0 when there is none.
    sent: AtomicU64,
    certain_for: Duration,
}

impl Certainty {
    pub(super) fn new(certain_for: Duration) -> Self {
        Self { since: Instant::now(), sent: AtomicU64::new(0), certain_for }
    }

    pub(super) fn acknowledged(&self, sent: Instant) {
        let sent = sent.saturating_duration_since(self.since).as_micros();
        self.sent.store(u64::try_from(sent).unwrap_or(u64::MAX - 1) + 1, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.sent.store(0, Ordering::SeqCst);
    }

    /// How old the last acknowledged heartbeat is.
    pub(super) fn age(&self) -> Option<Duration> {
        let sent = self.sent.load(Ordering::SeqCst).checked_sub(1)?;
        Some(self.since.elapsed().saturating_sub(Duration::from_micros(sent)))
    }

    pub(super) fn is_certain(&self) -> bool {
        self.age().is_some_and(|age| age < self.certain_for)
    }
}
