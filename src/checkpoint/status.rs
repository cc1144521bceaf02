//! How a projection stands, for whoever looks at it.

use crate::number::Position;

/// How a projection stands, read from the database alone: right also when every worker is dead.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Status {
    /// Its name.
    pub projection: String,
    /// Its number of partitions; none before the first worker.
    pub total_partitions: Option<i64>,
    /// Numbers of partitions that were replaced, and how many seconds ago.
    pub superseded: Vec<(i64, f64)>,
    /// Whether the classes are disjoint and together hold every hash.
    pub cover_complete: bool,
    /// Seconds since the oldest transaction that has appended and is still open began; none if there is none.
    pub oldest_append_open_seconds: Option<f64>,
    /// Workers that wait because another number of partitions has replaced theirs: that number, and how many they are.
    pub waiting: Vec<(i64, i64)>,
    /// Events of the log; none where there are too many to be counted, or where they were not wanted.
    pub events: Option<u64>,
    /// Events of the log that are parked, or were dropped: the read model does not contain them.
    pub parked_events: u64,
    /// Positions that were handed out and that nobody has seen an event at yet, where others write the log and number
    /// it by a sequence: the most of any class. None for other logs.
    pub missing_positions: Option<u64>,
    /// One entry per checkpoint.
    pub classes: Vec<ClassStatus>,
}

impl Status {
    /// Whether nobody is at work on any class.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.classes.iter().all(|class| class.idle.is_some())
    }

    /// Committed events that are not applied, of all classes.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.classes.iter().map(|class| class.behind).sum()
    }

    /// How many of the log's events the read model contains, where they were counted: no checkpoint says so of the
    /// events of a class that has none.
    #[must_use]
    pub fn applied(&self) -> Option<u64> {
        if !self.cover_complete {
            return None;
        }
        Some(self.events?.saturating_sub(self.behind()).saturating_sub(self.parked_events))
    }
}

/// How one class stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ClassStatus {
    /// The class, as residue/modulus.
    pub class: String,
    /// The last position up to which it has been looked at.
    pub position: Position,
    /// Committed events that are not applied.
    pub behind: u64,
    /// Whether that is estimated from the positions that are left, because they are too many to be counted.
    pub estimated: bool,
    /// Age of the oldest of them, in seconds.
    pub behind_seconds: f64,
    /// The process of the worker whose business it is: host and process id; none if no worker has a heartbeat.
    pub owner: Option<String>,
    /// What that worker says it is doing.
    pub state: Option<String>,
    /// Seconds since its last heartbeat.
    pub heartbeat_seconds: Option<f64>,
    /// Events per second that it applied between its last two heartbeats.
    pub per_second: Option<f64>,
    /// Events that it has applied since it started.
    pub applied: Option<u64>,
    /// Seconds that it has spent on fences, checkpoints, commits and waiting for the database since it started.
    pub coordination_seconds: Option<f64>,
    /// Seconds that it has spent on decoding and folding since it started.
    pub compute_seconds: Option<f64>,
    /// Aggregates that are parked.
    pub parked: i64,
    /// Seconds since the checkpoint was written last.
    pub moved_seconds: f64,
    /// Why nobody is at work on it; none if somebody is.
    pub idle: Option<String>,
    /// That the heartbeat of whoever is at work is late, or was within the last minute.
    pub late: Option<String>,
}
