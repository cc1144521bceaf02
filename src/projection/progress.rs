//! What a worker does and has done, to be looked at while it runs.

use super::distribution::{Buckets, Distribution};
use super::trouble::{Failures, Retry, Trouble};
use super::{Phase, Report};
use crate::checkpoint::Lag;
use crate::class::Class;
use crate::number::Position;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bounds of the sizes of batches, in events.
const BATCH_EVENTS: [u64; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Bounds of the times of batches, in microseconds.
const BATCH_MICROS: [u64; 10] = [500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

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
    batch_events: Distribution<{ BATCH_EVENTS.len() }>,
    batch_micros: Distribution<{ BATCH_MICROS.len() }>,
    reconnects: AtomicU64,
    missing_positions: AtomicU64,
    counted: Mutex<Option<Counted>>,
    phase: Mutex<Phase>,
    failures: Mutex<Failures>,
    commits: Mutex<Option<(Instant, Instant)>>,
    /// The last step that ended, or the last sign of a database that let a worker wait.
    stepped: Mutex<Instant>,
}

/// What was counted in the database of a worker's partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// What it has not applied.
    pub lag: Lag,
    /// Aggregates that are parked.
    pub parked_aggregates: u64,
    /// When that was.
    pub at: Instant,
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
            batch_events: Distribution::new(BATCH_EVENTS),
            batch_micros: Distribution::new(BATCH_MICROS),
            reconnects: AtomicU64::new(0),
            missing_positions: AtomicU64::new(0),
            counted: Mutex::new(None),
            phase: Mutex::new(Phase::Starting),
            failures: Mutex::default(),
            commits: Mutex::new(None),
            stepped: Mutex::new(Instant::now()),
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
        Some(self.counted()?.lag)
    }

    /// What was last counted in the database; none if nothing was yet.
    #[must_use]
    pub fn counted(&self) -> Option<Counted> {
        *lock(&self.counted)
    }

    /// The sizes of the batches that were committed, in events.
    #[must_use]
    pub fn batch_events(&self) -> Buckets {
        self.batch_events.buckets()
    }

    /// How long the batches that were committed took, in microseconds.
    #[must_use]
    pub fn batch_micros(&self) -> Buckets {
        self.batch_micros.buckets()
    }

    /// How often the worker has connected to the database again, after it had lost its connection.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    /// Positions that were handed out and that the worker has seen no event at yet, where others write the log.
    #[must_use]
    pub fn missing_positions(&self) -> u64 {
        self.missing_positions.load(Ordering::Relaxed)
    }

    /// Since the last step that has succeeded, or since it was found that there is nothing to do but wait.
    #[must_use]
    pub fn step_age(&self) -> Duration {
        lock(&self.stepped).elapsed()
    }

    /// When the first and the last batch were committed.
    #[must_use]
    pub fn commits(&self) -> Option<(Instant, Instant)> {
        *lock(&self.commits)
    }

    /// What the worker is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        lock(&self.phase).clone()
    }

    /// Why nobody in this process works on the partition, and when it is tried again; none while its worker steps,
    /// stands by, or waits because the projection has gone on with another number of partitions.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.failures().trouble()
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        lock(&self.failures)
    }

    /// Records and logs a failure, and gives the pause before the next try.
    pub(crate) fn failed(&self, partition: Class, why: &str) -> Duration {
        let Retry { failures, pause, report } = self.note_failure(why);
        if let Some(lasted) = report {
            tracing::error!(%partition, failures, "nobody here works on this partition{lasted}: {why}; trying \
                again in {pause:.1?}");
        } else {
            tracing::debug!(%partition, failures, "{why}; trying again in {pause:.1?}");
        }
        pause
    }

    /// Records a failure, of which whoever calls this writes in the log.
    pub(super) fn note_failure(&self, why: &str) -> Retry {
        self.set_phase(Phase::Retrying(why.to_owned()));
        self.failures().failed(why, Instant::now())
    }

    /// Records that nothing fails any more, and gives how long something did.
    pub(super) fn note_recovery(&self) -> Option<Duration> {
        self.failures().recovered(Instant::now())
    }

    /// A step has succeeded.
    pub(crate) fn recovered(&self, partition: Class) {
        if let Some(lasted) = self.note_recovery() {
            tracing::info!(%partition, "this partition is worked on again, after {lasted:.1?}");
        }
    }

    /// The worker has ended for good.
    pub(crate) fn ended(&self, why: &str) {
        self.failures().ended(why, Instant::now());
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    pub(crate) fn set_counted(&self, lag: Lag, parked_aggregates: u64) {
        *lock(&self.counted) = Some(Counted { lag, parked_aggregates, at: Instant::now() });
    }

    pub(crate) fn set_missing_positions(&self, missing: usize) {
        self.missing_positions.store(missing as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_reconnect(&self) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
    }

    /// A step has ended, or the database has answered that there is nothing to do but wait.
    pub(crate) fn stepped(&self) {
        *lock(&self.stepped) = Instant::now();
    }

    pub(crate) fn add_received(&self, events: usize) {
        self.received.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_batch(&self, applied: u64, parked: u64, position: Position, took: Duration) {
        self.batch_events.record(applied + parked);
        self.batch_micros.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.applied.fetch_add(applied, Ordering::Relaxed);
        self.parked.fetch_add(parked, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.position.store(position.get(), Ordering::Relaxed);
        let now = Instant::now();
        lock(&self.commits).get_or_insert((now, now)).1 = now;
    }

    pub(crate) fn add_time(&self, total: Duration, compute: Duration) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.coordination_nanos.fetch_add(nanos(total.saturating_sub(compute)), Ordering::Relaxed);
        self.compute_nanos.fetch_add(nanos(compute), Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
