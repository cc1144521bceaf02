//! How a worker runs.

use std::time::Duration;

/// How a worker runs.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Whether to end when nothing is left to apply.
    pub until_caught_up: bool,
    /// The longest pause after finding nothing to apply. It is shorter while events come, and ends when a writer
    /// [notifies](crate::schema::Schema::channel).
    pub poll_interval: Duration,
    /// How long to rest after catching up with the log, however much is appended meanwhile: it is applied together
    /// then, which costs less. Zero by default.
    pub rest: Duration,
    /// How long one step (reading, applying and committing one batch) may take before its connection is given up.
    pub database_timeout: Duration,
    /// The pause between two heartbeats; [`LONGEST_INTERVAL`](crate::checkpoint::LONGEST_INTERVAL) at most.
    pub heartbeat_interval: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            until_caught_up: false,
            poll_interval: Duration::from_millis(50),
            rest: Duration::ZERO,
            database_timeout: Duration::from_mins(1),
            heartbeat_interval: Duration::from_secs(2),
        }
    }
}
