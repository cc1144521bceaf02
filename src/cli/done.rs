//! What a worker did, for scripts.

use evenfold::projection::Report;
use serde::{Deserialize, Serialize};

/// One JSON object.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Done {
    /// Events that the database has sent.
    pub(super) received: u64,
    pub(super) applied: u64,
    pub(super) parked: u64,
    pub(super) batches: u64,
    pub(super) position: i64,
    pub(super) elapsed_ms: u64,
    /// The most memory that the process has had; null where the system does not tell.
    pub(super) peak_rss_bytes: Option<u64>,
}

impl Done {
    pub(super) fn of(report: &Report) -> Self {
        Self {
            received: report.received,
            applied: report.applied,
            parked: report.parked,
            batches: report.batches,
            position: report.position,
            elapsed_ms: u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            peak_rss_bytes: peak_rss(),
        }
    }
}

/// From Linux's status of this process. `getrusage` would count what the parent had when it forked.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?;
    Some(kib.parse::<u64>().ok()? * 1024)
}
