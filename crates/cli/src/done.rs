//! What a worker did, for scripts.

use evenfold::number::Position;
use evenfold::projection::Report;
use serde::{Deserialize, Serialize};

/// One JSON object.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Done {
    /// Events that the database has sent.
    pub received: u64,
    pub applied: u64,
    pub parked: u64,
    pub batches: u64,
    /// The position of the last event that this run applied; null if it applied none.
    pub position: Option<Position>,
    pub elapsed_ms: u64,
    /// The most memory that the process has had; null where the system does not report it.
    pub peak_rss_bytes: Option<u64>,
}

impl Done {
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self {
            received: report.received,
            applied: report.applied,
            parked: report.parked,
            batches: report.batches,
            position: last_position(report),
            elapsed_ms: u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            // `getrusage` would count what the parent had when it forked.
            peak_rss_bytes: memory("VmHWM:"),
        }
    }
}

/// The position of the last event that was applied, if any was: what was applied before this run is in the database.
#[must_use]
pub(super) fn last_position(report: &Report) -> Option<Position> {
    // Positions are counted from 1.
    Some(report.position).filter(|position| *position > Position::START)
}

/// A line of Linux's status of this process that counts memory, in bytes; none where the system does not report them.
#[must_use]
pub fn memory(line: &str) -> Option<u64> {
    memory_of("self", line)
}

/// The same of another process.
#[must_use]
pub fn memory_of(pid: &str, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|found| found.strip_prefix(line))?.split_whitespace().next()?;
    Some(kib.parse::<u64>().ok()? * 1024)
}
