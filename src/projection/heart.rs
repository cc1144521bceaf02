//! A worker's heartbeat: when it begins and ends. It begins before the worker has its partition, so that one that can't
//! have it is seen with the reason. Those of a process are written together: see `heartbeats`.

use super::beating::{Beating, Pulse};
use super::heartbeats::Heartbeats;
use super::{Projection, RunOptions, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a worker that stops waits until its heartbeat is off the table.
const FORGET_TIMEOUT: Duration = Duration::from_secs(3);

/// A running heartbeat.
pub(super) struct Heart {
    pulse: Arc<Pulse>,
    joined: Arc<AtomicBool>,
    heartbeats: Heartbeats,
}

impl Heart {
    pub(super) fn start<P: Projection>(heartbeats: &Heartbeats, worker: &Worker<P>, options: &RunOptions) -> Self {
        let beating = Beating::of(worker, options);
        let (pulse, joined) = (Arc::clone(&beating.pulse), Arc::clone(&beating.joined));
        heartbeats.begin(beating);
        Self { pulse, joined, heartbeats: heartbeats.clone() }
    }

    /// What it says, for the transaction that registers the worker.
    pub(super) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The worker has its partition.
    pub(super) fn joined(&self) {
        self.joined.store(true, Ordering::Release);
    }

    /// Ends, and takes the heartbeat off the table. Left behind, it is stale after a few seconds: whoever stops does
    /// not wait for a database that is silent.
    pub(super) async fn stop(self) {
        let removed = self.heartbeats.end(self.pulse.worker);
        let ended = tokio::time::timeout(FORGET_TIMEOUT, removed).await;
        if matches!(ended, Ok(Err(_))) {
            tracing::error!(partition = %self.pulse.class, "the task that writes the heartbeats has ended");
        }
    }
}

/// A dropped run leaves nothing behind that says that it is at work.
impl Drop for Heart {
    fn drop(&mut self) {
        drop(self.heartbeats.end(self.pulse.worker));
    }
}
