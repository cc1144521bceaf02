//! What a worker does and has done, to be looked at while it runs.

use crate::number::Position;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::trouble::{Failures, Retry, Trouble};
use crate::checkpoint::{Lag, RETRYING, SUPERSEDED};
use crate::class::Class;

/// What a worker is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Reading its checkpoint.
    Starting,
    /// Applying events.
    Applying,
    /// Everything that was committed is applied.
    CaughtUp,
    /// Another worker has this partition.
    StandingBy,
    /// The projection has gone on with another number of partitions: which. This worker may take over later.
    Superseded(u32),
    /// Something failed, and is tried again: why.
    Retrying(String),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Applying => f.write_str("applying"),
            Self::CaughtUp => f.write_str("caught up"),
            Self::StandingBy => f.write_str("standing by"),
            Self::Superseded(by) => write!(f, "{SUPERSEDED} by {by} partitions, waiting"),
            Self::Retrying(why) => write!(f, "{RETRYING}{why}"),
        }
    }
}

/// What a worker has done so far, to be looked at from outside while it runs.
#[derive(Debug)]
pub struct Progress {
    received: AtomicU64,
    applied: AtomicU64,
    parked: AtomicU64,
    batches: AtomicU64,
    position: AtomicI64,
    coordination_nanos: AtomicU64,
    compute_nanos: AtomicU64,
    behind: AtomicU64,
    behind_age_millis: AtomicU64,
    measured: AtomicBool,
    phase: Mutex<Phase>,
    failures: Mutex<Failures>,
    commits: Mutex<Option<(Instant, Instant)>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            received: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            position: AtomicI64::new(0),
            coordination_nanos: AtomicU64::new(0),
            compute_nanos: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            behind_age_millis: AtomicU64::new(0),
            measured: AtomicBool::new(false),
            phase: Mutex::new(Phase::Starting),
            failures: Mutex::default(),
            commits: Mutex::new(None),
        }
    }
}

/// What a worker did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Events that the database has sent.
    pub received: u64,
    /// Events applied.
    pub applied: u64,
    /// Events parked.
    pub parked: u64,
    /// Batches committed.
    pub batches: u64,
    /// The position of the last event.
    pub position: Position,
    /// How long it ran.
    pub elapsed: Duration,
    /// Of that, the time spent on fences, checkpoints, commits and waiting for the database.
    pub coordination: Duration,
    /// Of that, the time spent on decoding and folding.
    pub compute: Duration,
}

impl Report {
    /// What was done in two runs, one after the other.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        Self {
            received: self.received + next.received,
            applied: self.applied + next.applied,
            parked: self.parked + next.parked,
            batches: self.batches + next.batches,
            position: next.position,
            elapsed: self.elapsed + next.elapsed,
            coordination: self.coordination + next.coordination,
            compute: self.compute + next.compute,
        }
    }
}

impl Progress {
    /// What was done so far, by a worker that was started then.
    pub(super) fn report(&self, started: Instant) -> Report {
        Report {
            received: self.received(),
            applied: self.applied(),
            parked: self.parked(),
            batches: self.batches(),
            position: self.position(),
            elapsed: started.elapsed(),
            coordination: self.coordination(),
            compute: self.compute(),
        }
    }

    /// Events that the database has sent: the applied ones, and those that were read again after a failure.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Events applied and committed.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// Events parked.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.parked.load(Ordering::Relaxed)
    }

    /// Batches committed.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// The position of the last event that was applied.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.position.load(Ordering::Relaxed))
    }

    /// Time spent on fences, checkpoints, commits and waiting for the database.
    #[must_use]
    pub fn coordination(&self) -> Duration {
        Duration::from_nanos(self.coordination_nanos.load(Ordering::Relaxed))
    }

    /// Time spent on decoding and folding.
    #[must_use]
    pub fn compute(&self) -> Duration {
        Duration::from_nanos(self.compute_nanos.load(Ordering::Relaxed))
    }

    /// The lag when it was last counted in the database; none if it was not yet.
    #[must_use]
    pub fn lag(&self) -> Option<Lag> {
        self.measured.load(Ordering::Acquire).then(|| Lag {
            events: self.behind.load(Ordering::Relaxed),
            age: Duration::from_millis(self.behind_age_millis.load(Ordering::Relaxed)),
        })
    }

    /// When the first and the last batch were committed.
    #[must_use]
    pub fn commits(&self) -> Option<(Instant, Instant)> {
        *self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the worker is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why nobody in this process works on the partition, and when it is tried again; none while its worker steps,
    /// stands by, or waits because the projection has gone on with another number of partitions.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.failures().trouble()
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records and logs a failure, and gives the pause before the next try.
    pub(crate) fn failed(&self, partition: Class, why: &str) -> Duration {
        self.set_phase(Phase::Retrying(why.to_owned()));
        let Retry { failures, pause, report } = self.failures().failed(why, Instant::now());
        if let Some(lasted) = report {
            tracing::error!(%partition, failures, "nobody here works on this partition{lasted}: {why}; trying \
                again in {pause:.1?}");
        } else {
            tracing::debug!(%partition, failures, "{why}; trying again in {pause:.1?}");
        }
        pause
    }

    /// A step has succeeded.
    pub(crate) fn recovered(&self, partition: Class) {
        let lasted = self.failures().recovered(Instant::now());
        if let Some(lasted) = lasted {
            tracing::info!(%partition, "this partition is worked on again, after {lasted:.1?}");
        }
    }

    /// The worker has ended for good.
    pub(crate) fn ended(&self, why: &str) {
        self.failures().ended(why, Instant::now());
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    pub(crate) fn set_lag(&self, lag: Lag) {
        self.behind.store(lag.events, Ordering::Relaxed);
        self.behind_age_millis.store(u64::try_from(lag.age.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.measured.store(true, Ordering::Release);
    }

    pub(crate) fn add_received(&self, events: usize) {
        self.received.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_batch(&self, applied: u64, parked: u64, position: Position) {
        self.applied.fetch_add(applied, Ordering::Relaxed);
        self.parked.fetch_add(parked, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.position.store(position.get(), Ordering::Relaxed);
        let now = Instant::now();
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((now, now)).1 = now;
    }

    pub(crate) fn add_time(&self, total: Duration, compute: Duration) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.coordination_nanos.fetch_add(nanos(total.saturating_sub(compute)), Ordering::Relaxed);
        self.compute_nanos.fetch_add(nanos(compute), Ordering::Relaxed);
    }
}
