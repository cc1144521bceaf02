//! Whether others may have taken this node for dead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// When the last heartbeat that was acknowledged was sent: not when the acknowledgement came, as the others count from
/// an earlier time then.
#[derive(Debug)]
pub(super) struct Certainty {
    since: Instant,
    /// In microseconds since then, plus 1; 0 when there is none.
    sent: AtomicU64,
    certain_for: Duration,
    /// How often it was certain again after it had not been.
    lapses: watch::Sender<u64>,
}

impl Certainty {
    pub(super) fn new(certain_for: Duration) -> Self {
        Self { since: Instant::now(), sent: AtomicU64::new(0), certain_for, lapses: watch::Sender::new(0) }
    }

    pub(super) fn acknowledged(&self, sent: Instant) {
        // Before it is certain again: whoever finds it certain, and looks at the lapses then, sees this one.
        if self.age().is_some_and(|age| age >= self.certain_for) {
            self.lapses.send_modify(|lapses| *lapses += 1);
        }
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

    pub(super) fn lapses(&self) -> watch::Receiver<u64> {
        self.lapses.subscribe()
    }

    pub(super) fn is_certain(&self) -> bool {
        self.age().is_some_and(|age| age < self.certain_for)
    }
}
