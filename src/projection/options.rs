//! How a worker works, and how it is run.

use crate::checkpoint::Takeover;
use std::time::Duration;

/// How long workers with a number of partitions that was replaced wait before they may take over again.
pub const GRACE: Duration = Duration::from_mins(10);

/// Links the span of a batch to the `traceparent` (W3C Trace Context) of one of its events. Called from within the
/// batch, and so it must not wait; whatever is no `traceparent` is to be ignored.
pub type LinkTo = fn(&tracing::Span, &str);

/// How a worker works.
///
/// ```
/// let options = evenfold::WorkerOptions::default().batch_size(10_000);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerOptions {
    /// The most events of one transaction: 500,000 by default, at least 1. As many are applied at once only while the
    /// worker is far behind.
    pub batch_size: usize,
    /// How long another worker's checkpoint must not have moved before this one takes the partition over; and how often
    /// a worker with nothing to apply looks whether its own has. 2 seconds by default.
    pub takeover_after: Duration,
    /// Whether, and when, this worker's number of partitions may replace one that has replaced it. After 10 minutes by
    /// default.
    pub topology: Takeover,
    /// How the span of a batch is linked to what its events' metadata has as `traceparent`: to the first
    /// [`MAX_LINKS`](super::MAX_LINKS) different ones. Not at all by default, and then no metadata is read for it. Of
    /// a log that others write it is read only if the [interest](crate::log::Interest) asks for it, and in a batch
    /// whose events are [only in its view](crate::Batch::is_only_in_view) it is not.
    pub links: Option<LinkTo>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            batch_size: 500_000,
            takeover_after: Duration::from_secs(2),
            topology: Takeover::After(GRACE),
            links: None,
        }
    }
}

impl WorkerOptions {
    /// The same with this [`batch_size`](Self::batch_size).
    #[must_use]
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// The same with this [`takeover_after`](Self::takeover_after).
    #[must_use]
    pub fn takeover_after(self, takeover_after: Duration) -> Self {
        Self { takeover_after, ..self }
    }

    /// The same with this [`topology`](Self::topology).
    #[must_use]
    pub fn topology(self, topology: Takeover) -> Self {
        Self { topology, ..self }
    }

    /// The same with these [`links`](Self::links).
    #[must_use]
    pub fn links(self, links: Option<LinkTo>) -> Self {
        Self { links, ..self }
    }
}

/// How a worker is run.
///
/// ```
/// let options = evenfold::RunOptions::default().until_caught_up(true);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// Whether to end when nothing is left to apply.
    pub until_caught_up: bool,
    /// The longest pause after finding nothing to apply: 50 milliseconds by default. It is shorter while events come,
    /// and ends when a writer [notifies](crate::Schema::channel).
    pub poll_interval: Duration,
    /// How long to rest after catching up with the log, however much is appended meanwhile: it is applied together
    /// then, which costs less. Zero by default.
    pub rest: Duration,
    /// How long one step (reading, applying and committing one batch) may take before its connection is abandoned: a
    /// minute by default.
    pub database_timeout: Duration,
    /// The pause between two heartbeats: 2 seconds by default,
    /// [`LONGEST_INTERVAL`](crate::checkpoint::LONGEST_INTERVAL) at most.
    pub heartbeat_interval: Duration,
    /// Whether a commit waits until it is on disk, or as the role, the database or the server have
    /// `synchronous_commit`: not by default. Then, after a crash of the server, read model and checkpoint may be as
    /// they were up to three times its `wal_writer_delay` before (0.6 seconds), and what came after is applied again;
    /// the log is not concerned. What a database's URL says goes before it. A worker that ends when it has
    /// [caught up](Self::until_caught_up) waits, and so does one of a log on another server, as its URL says.
    pub synchronous_commit: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            until_caught_up: false,
            poll_interval: Duration::from_millis(50),
            rest: Duration::ZERO,
            database_timeout: Duration::from_mins(1),
            heartbeat_interval: Duration::from_secs(2),
            synchronous_commit: false,
        }
    }
}

impl RunOptions {
    /// The same with this [`until_caught_up`](Self::until_caught_up).
    #[must_use]
    pub fn until_caught_up(self, until_caught_up: bool) -> Self {
        Self { until_caught_up, ..self }
    }

    /// The same with this [`poll_interval`](Self::poll_interval).
    #[must_use]
    pub fn poll_interval(self, poll_interval: Duration) -> Self {
        Self { poll_interval, ..self }
    }

    /// The same with this [`rest`](Self::rest).
    #[must_use]
    pub fn rest(self, rest: Duration) -> Self {
        Self { rest, ..self }
    }

    /// The same with this [`database_timeout`](Self::database_timeout).
    #[must_use]
    pub fn database_timeout(self, database_timeout: Duration) -> Self {
        Self { database_timeout, ..self }
    }

    /// The same with this [`heartbeat_interval`](Self::heartbeat_interval).
    #[must_use]
    pub fn heartbeat_interval(self, heartbeat_interval: Duration) -> Self {
        Self { heartbeat_interval, ..self }
    }

    /// The same with this [`synchronous_commit`](Self::synchronous_commit).
    #[must_use]
    pub fn synchronous_commit(self, synchronous_commit: bool) -> Self {
        Self { synchronous_commit, ..self }
    }
}
