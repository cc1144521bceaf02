//! What is counted and timed, cheaply: counters of one shard are written by its actor alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One message in so many is followed from its sender to its actor: three readings of the clock for each would cost
/// more than the routing that they measure. What comes out is multiplied.
const SAMPLED: u8 = 64;

/// Whether this message is one of them.
pub(super) fn is_sampled() -> bool {
    fastrand::u8(..SAMPLED) == 0
}

/// What has happened in one shard.
#[derive(Debug, Default)]
pub(super) struct Meters {
    pub(super) handled: Count,
    /// How many of these were handled before the number of shards changed last.
    resized_at: Count,
    pub(super) abandoned: Count,
    pub(super) dropped: Count,
    pub(super) panics: Count,
    /// Handling messages.
    pub(super) busy: Time,
    /// Messages waiting in the mailbox.
    pub(super) queueing: Time,
}

impl Meters {
    /// The number of shards has changed: from here on this shard is compared to others of the same age.
    pub(super) fn resized(&self) {
        self.resized_at.set(self.handled.get());
    }

    pub(super) fn handled_since_resize(&self) -> u64 {
        self.handled.get().saturating_sub(self.resized_at.get())
    }

    /// Adds those of a shard that is no more.
    pub(super) fn add(&self, gone: &Self) {
        for (sum, more) in [
            (&self.handled, &gone.handled),
            (&self.abandoned, &gone.abandoned),
            (&self.dropped, &gone.dropped),
            (&self.panics, &gone.panics),
        ] {
            sum.add(more.get());
        }
        self.busy.add(gone.busy.get());
        self.queueing.add(gone.queueing.get());
    }
}

/// What happens between senders and mailboxes.
#[derive(Debug, Default)]
pub(super) struct Routing {
    /// Finding the shard, and putting the message into its mailbox.
    pub(super) routing: Time,
    /// Waiting for room in a mailbox.
    pub(super) waiting: Time,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }
}

/// A sum of times.
#[derive(Debug, Default)]
pub(super) struct Time(AtomicU64);

impl Time {
    pub(super) fn add(&self, more: Duration) {
        self.0.fetch_add(u64::try_from(more.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Adds the time of one that stands for all that were not measured.
    pub(super) fn add_sample(&self, from: Instant, to: Instant) {
        self.add(to.duration_since(from) * u32::from(SAMPLED));
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
