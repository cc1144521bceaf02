//! What a worker's heartbeat says, and when it is due.

use super::late::Lateness;
use super::{Progress, Projection, RunOptions, Worker};
use crate::checkpoint::{Beat, LONGEST_INTERVAL};
use crate::class::Class;
use crate::log::{Interest, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What a worker's heartbeat says of it.
pub(super) struct Pulse {
    pub(super) worker: Uuid,
    pub(super) projection: String,
    pub(super) class: Class,
    process: String,
    pub(super) progress: Arc<Progress>,
}

impl Pulse {
    /// The worker as it is now.
    pub(super) fn beat(&self, per_second: f64, note: Option<&str>) -> Beat<'_> {
        let phase = self.progress.phase();
        Beat {
            worker: self.worker,
            projection: &self.projection,
            class: self.class,
            process: &self.process,
            state: note.map_or_else(|| phase.to_string(), |note| format!("{phase}; {note}")),
            applied: self.progress.applied(),
            per_second,
            coordination: self.progress.coordination(),
            compute: self.progress.compute(),
        }
    }
}

/// One of the heartbeats that a process writes.
pub(super) struct Beating {
    pub(super) pulse: Arc<Pulse>,
    pub(super) interest: Interest,
    /// The log, where others write it.
    pub(super) log: Option<Source>,
    /// Whether the worker has its partition, so that there are checkpoints of which the lag can be counted.
    pub(super) joined: Arc<AtomicBool>,
    pub(super) interval: Duration,
    /// What was applied at the last beat, and when that was.
    applied: (u64, Instant),
    pub(super) lateness: Lateness,
    beat_at: Instant,
    pub(super) count_at: Instant,
}

impl Beating {
    pub(super) fn of<P: Projection>(worker: &Worker<P>, options: &RunOptions) -> Self {
        let (progress, interval) = (worker.progress(), options.heartbeat_interval.min(LONGEST_INTERVAL));
        let now = Instant::now();
        Self {
            applied: (progress.applied(), now),
            pulse: Arc::new(Pulse {
                worker: worker.id(),
                projection: worker.projection().name().to_owned(),
                class: worker.class(),
                process: process_name(),
                progress,
            }),
            interest: worker.projection().interest(),
            log: worker.source().cloned(),
            joined: Arc::default(),
            interval,
            lateness: Lateness::new(worker.class(), interval, now),
            beat_at: now,
            count_at: now,
        }
    }

    /// When there is something to do for it.
    pub(super) fn due(&self) -> Instant {
        if self.joined.load(Ordering::Acquire) { self.beat_at.min(self.count_at) } else { self.beat_at }
    }

    /// Whether it is written now. Those that are due a little later are written together with one that is.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.beat_at <= now + self.interval / 4
    }

    /// What its next beat says.
    pub(super) fn beat(&self, now: Instant) -> Beat<'_> {
        let (applied, at) = self.applied;
        let applied = self.pulse.progress.applied() - applied;
        #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
        let per_second = applied as f64 / at.elapsed().as_secs_f64().max(f64::EPSILON);
        self.pulse.beat(per_second, self.lateness.note(now).as_deref())
    }

    /// A beat with that was written.
    pub(super) fn written(&mut self, applied: u64, started: Instant) {
        self.applied = (applied, started);
        self.lateness.written(Instant::now());
    }

    /// The beat that began then has been tried.
    pub(super) fn tried(&mut self, started: Instant) {
        // It beats at its interval, whatever the last one took, with a rest between two.
        self.beat_at = (started + self.interval).max(Instant::now() + self.interval / 4);
    }
}

fn process_name() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}:{}", host.as_deref().unwrap_or("?"), std::process::id())
}
