//! A worker's heartbeat: a task of its own, on a connection of its own, so that it goes on while the fold hangs, and from
//! before the worker has its partition, so that one that can't have it is seen with the reason.
//!
//! It beats at its interval, whatever the last beat took. The lag is counted between two beats, seldom enough to cost little.

use super::late::Lateness;
use super::{Progress, Projection, RunOptions, Worker};
use crate::checkpoint::{self, Beat, LONGEST_INTERVAL};
use crate::class::Class;
use crate::database::Database;
use crate::log::Interest;
use sqlx::PgConnection;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// Counting the lag takes longer the larger it is: the pause after it is this many times as long, up to a minute.
const PAUSE_PER_COUNT: u32 = 20;
const LONGEST_COUNT_PAUSE: Duration = Duration::from_mins(1);

/// A beat, or a count, may take this long before its connection is given up: a count must not make the next beat so late
/// that the worker is taken for dead.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a worker that stops tries to take its heartbeat off the table.
const FORGET_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a lock is waited for. Longer than that the connection is fine, and the next beat tries again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a worker's heartbeat says of it.
pub(super) struct Pulse {
    worker: Uuid,
    projection: String,
    class: Class,
    process: String,
    progress: Arc<Progress>,
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

/// A running heartbeat.
pub(super) struct Heart {
    pulse: Arc<Pulse>,
    joined: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// A dropped run leaves nothing behind that says that it is at work.
    _dropped: DropGuard,
}

impl Heart {
    pub(super) fn start<P: Projection>(database: &Database, worker: &Worker<P>, options: &RunOptions) -> Self {
        let pulse = Arc::new(Pulse {
            worker: worker.id(),
            projection: worker.projection().name().to_owned(),
            class: worker.class(),
            process: process_name(),
            progress: worker.progress(),
        });
        let (stop, joined) = (CancellationToken::new(), Arc::default());
        let interval = options.heartbeat_interval.min(LONGEST_INTERVAL);
        let beating = Beating {
            database: database.waiting_at_most(LOCK_TIMEOUT),
            pulse: Arc::clone(&pulse),
            interest: worker.projection().interest(),
            joined: Arc::clone(&joined),
            interval,
            conn: None,
            applied: (pulse.progress.applied(), Instant::now()),
            lateness: Lateness::new(worker.class(), interval, Instant::now()),
            count_at: Instant::now(),
        };
        let task = tokio::spawn(beating.run(stop.clone()));
        Self { pulse, joined, task, _dropped: stop.clone().drop_guard(), stop }
    }

    /// What it says, for the transaction that registers the worker.
    pub(super) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The worker has its partition: there are checkpoints, of which the lag can be counted.
    pub(super) fn joined(&self) {
        self.joined.store(true, Ordering::Release);
    }

    /// Ends, and takes the heartbeat off the table.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Err(panic) = self.task.await {
            tracing::error!(partition = %self.pulse.class, %panic, "the heartbeat panicked");
        }
    }
}

/// The task.
struct Beating {
    database: Database,
    pulse: Arc<Pulse>,
    interest: Interest,
    joined: Arc<AtomicBool>,
    interval: Duration,
    conn: Option<PgConnection>,
    /// What was applied at the last beat, and when that was.
    applied: (u64, Instant),
    lateness: Lateness,
    count_at: Instant,
}

impl Beating {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let started = Instant::now();
            // One that is dropped takes the connection with it.
            stop.run_until_cancelled(self.beat()).await;
            if self.joined.load(Ordering::Acquire) && self.count_at <= Instant::now() {
                stop.run_until_cancelled(self.count()).await;
            }
            let pause = self.interval.saturating_sub(started.elapsed()).max(self.interval / 4);
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        // Left behind, it is stale after a few seconds: whoever stops does not wait for a database that is silent.
        let _ = tokio::time::timeout(FORGET_TIMEOUT, self.forget()).await;
    }

    /// Takes the heartbeat off the table: once more, on a new connection, where the one in use was lost without notice. Left
    /// behind, it is stale after a few seconds, and removed after a day by another worker's beat.
    async fn forget(self) {
        let Self { database, pulse, conn, .. } = self;
        let forget =
            async |conn: &mut PgConnection| checkpoint::forget_beat(database.schema(), conn, pulse.worker).await;
        for conn in conn.map(Some).into_iter().chain([None]) {
            match within(&database, conn, forget).await.1 {
                Ok(()) => break,
                Err(error) => tracing::debug!(partition = %pulse.class, %error, "the heartbeat was not removed"),
            }
        }
    }

    async fn beat(&mut self) {
        let now = Instant::now();
        let applied = self.pulse.progress.applied();
        #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
        let per_second = (applied - self.applied.0) as f64 / self.applied.1.elapsed().as_secs_f64().max(f64::EPSILON);
        let note = self.lateness.note(now);
        let beat = self.pulse.beat(per_second, note.as_deref());
        let conn = self.conn.take();
        let (conn, written) =
            within(&self.database, conn, async |conn| checkpoint::beat(self.database.schema(), conn, &beat).await)
                .await;
        self.conn = conn;
        match written {
            Ok(()) => {
                self.applied = (applied, now);
                self.lateness.written(Instant::now());
            }
            Err(error) => self.lateness.failed(&error.to_string(), Instant::now()),
        }
    }

    async fn count(&mut self) {
        let started = Instant::now();
        let Pulse { projection, class, progress, .. } = &*self.pulse;
        let conn = self.conn.take();
        let counting = async |conn: &mut PgConnection| {
            checkpoint::lag(self.database.schema(), conn, projection, *class, &self.interest).await
        };
        let (conn, lag) = within(&self.database, conn, counting).await;
        self.conn = conn;
        match lag {
            Ok(lag) => progress.set_lag(lag),
            Err(error) => tracing::debug!(partition = %class, %error, "the lag was not counted"),
        }
        let pause = (started.elapsed() * PAUSE_PER_COUNT).clamp(self.interval, LONGEST_COUNT_PAUSE);
        self.count_at = Instant::now() + pause;
    }
}

/// Does something on the connection, or on a new one, in its time. Gives the connection back if it is still good: a
/// statement that the server has refused leaves it so.
async fn within<T>(
    database: &Database,
    conn: Option<PgConnection>,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> (Option<PgConnection>, Result<T, Failure>) {
    let mut conn = match conn {
        Some(conn) => conn,
        None => match database.connect().await {
            Ok(conn) => conn,
            Err(error) => return (None, Err(error.into())),
        },
    };
    match timed(work(&mut conn)).await {
        Ok(Ok(done)) => (Some(conn), Ok(done)),
        Ok(Err(error)) => {
            // What the server says before it ends a session is an error of the database as well (57P01 and its kind).
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            let good = code.is_some_and(|code| !code.starts_with("57P"));
            (good.then_some(conn), Err(error.into()))
        }
        Err(late) => (None, Err(late)),
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let late = || Failure::from(format!("the database did not answer within {TIMEOUT:?}"));
    tokio::time::timeout(TIMEOUT, work).await.map_err(|_| late())
}

fn process_name() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}:{}", host.as_deref().unwrap_or("?"), std::process::id())
}
