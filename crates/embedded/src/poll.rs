//! Waiting for what other processes do.

use std::time::{Duration, Instant};

use super::error::EmbeddedError;

/// How often a condition of another process is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Asks until there is an answer or the time is up; an answer that takes long is not interrupted.
pub(super) fn poll<T>(
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>, EmbeddedError>,
) -> Result<Option<T>, EmbeddedError> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
