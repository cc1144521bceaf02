//! The heartbeats of a process's workers: one task, on one connection of its own, so that they go on while a fold
//! hangs.
//!
//! Those that are due are written in one statement, which passes over the row of one that somebody has locked: it is
//! late by itself. The lag of each worker is counted between two beats, seldom enough to cost little.

use super::beating::Beating;
use super::timed::{Failure, within};
use crate::checkpoint::{self, Written};
use crate::database::Database;
use crate::log::OpenSource;
use sqlx::{Connection, PgConnection};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Counting the lag takes longer the larger it is: the pause after it is this many times as long, up to a minute.
const PAUSE_PER_COUNT: u32 = 20;
const LONGEST_COUNT_PAUSE: Duration = Duration::from_mins(1);

/// How long a lock is waited for. Longer than that the connection is fine, and the next beat tries again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the task may take to end: a database that is silent is not waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Where workers have their heartbeats written. The task ends with the last clone.
#[derive(Clone)]
pub(super) struct Heartbeats {
    messages: mpsc::UnboundedSender<Message>,
    /// The other end and the database, until the first worker comes.
    idle: Arc<Mutex<Option<Writing>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

enum Message {
    Begin(Box<Beating>),
    /// Takes the heartbeat off the table, and answers then.
    End(Uuid, oneshot::Sender<()>),
    Close,
}

impl Heartbeats {
    pub(super) fn new(database: &Database) -> Self {
        let (messages, received) = mpsc::unbounded_channel();
        let database = database.named("evenfold heartbeats").by_index().waiting_at_most(LOCK_TIMEOUT);
        let writing = Writing { database, conn: None, log: None, received, queued: VecDeque::new(), all: Vec::new() };
        Self {
            messages,
            idle: Arc::new(Mutex::new(Some(writing))),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// One more heartbeat, which begins at once.
    pub(super) fn begin(&self, beating: Beating) {
        let partition = beating.pulse.class;
        if self.messages.send(Message::Begin(Box::new(beating))).is_err() {
            tracing::error!(%partition, "the process writes no heartbeats any more: others take this worker for dead");
        }
        if let Some(writing) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let stop = self.stop.clone();
            self.tasks.spawn(async move { stop.run_until_cancelled(writing.run()).await });
        }
    }

    /// Ends a worker's heartbeat. The answer comes when it is off the table; ending it once more does nothing.
    pub(super) fn end(&self, worker: Uuid) -> oneshot::Receiver<()> {
        let (removed, answer) = oneshot::channel();
        // Without the task nothing is on the table.
        let _ = self.messages.send(Message::End(worker, removed));
        answer
    }

    /// Ends the task, and waits until its connection is closed, so that whoever owns the server can stop it.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has ended the task, and not waited until it has.
    pub(super) async fn close(&self) {
        let _ = self.messages.send(Message::Close);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.tasks.close();
        if tokio::time::timeout(CLOSE_TIMEOUT, self.tasks.wait()).await.is_err() {
            self.stop.cancel();
            self.tasks.wait().await;
        }
    }
}

/// The task.
struct Writing {
    database: Database,
    conn: Option<PgConnection>,
    /// To count what is left of a log that others write.
    log: Option<OpenSource>,
    received: mpsc::UnboundedReceiver<Message>,
    /// Messages that came while something else was done.
    queued: VecDeque<Message>,
    all: Vec<Beating>,
}

impl Writing {
    async fn run(mut self) {
        while self.obey().await {
            self.beat().await;
            self.count().await;
        }
        if let Some(conn) = self.conn {
            // Where that fails, the server notices by itself.
            let _ = conn.close().await;
        }
    }

    /// Follows what was sent, and waits until a heartbeat is due; false when there is nothing more to do.
    async fn obey(&mut self) -> bool {
        loop {
            let message = match self.queued.pop_front() {
                Some(message) => Some(message),
                None => match self.received.try_recv() {
                    Ok(message) => Some(message),
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                    Err(mpsc::error::TryRecvError::Empty) => {
                        let due = self.all.iter().map(Beating::due).min();
                        if due.is_some_and(|due| due <= Instant::now()) {
                            return true;
                        }
                        tokio::select! {
                            message = self.received.recv() => message,
                            () = until(due) => return true,
                        }
                    }
                },
            };
            match message {
                Some(Message::Begin(beating)) => self.all.push(*beating),
                Some(Message::End(worker, removed)) => {
                    self.forget(worker).await;
                    // Nobody waits where a run was dropped.
                    let _ = removed.send(());
                }
                Some(Message::Close) | None => return false,
            }
        }
    }

    /// Takes a heartbeat off the table: once more, on a new connection, where the one in use was lost without notice.
    /// Left behind, it is stale after a few seconds, and removed after a day by another worker's beat.
    async fn forget(&mut self, worker: Uuid) {
        let before = self.all.len();
        self.all.retain(|beating| beating.pulse.worker != worker);
        if self.all.len() == before {
            return;
        }
        let database = self.database.clone();
        let attempts = if self.conn.is_some() { 2 } else { 1 };
        for _ in 0..attempts {
            let forgotten =
                self.within(async |conn| checkpoint::forget_beat(database.schema(), conn, worker).await).await;
            match forgotten {
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!(%worker, %error, "the heartbeat was not removed");
                    self.conn = None;
                }
            }
        }
    }

    /// Writes those that are due or will be soon, together.
    async fn beat(&mut self) {
        let (started, database) = (Instant::now(), self.database.clone());
        let due: Vec<usize> = (0..self.all.len()).filter(|&n| self.all[n].is_due(started)).collect();
        if due.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.all);
        let applied: Vec<u64> = due.iter().map(|&n| all[n].pulse.progress.applied()).collect();
        let beats: Vec<_> = due.iter().map(|&n| all[n].beat(started)).collect();
        let mut outcomes = self
            .within(async |conn| checkpoint::beat_again(database.schema(), conn, &beats).await)
            .await
            .map_err(|error| error.to_string());
        // A worker's first one is by itself: to insert it may have to wait for the worker's own registration.
        for (n, beat) in beats.iter().enumerate() {
            let Ok(written) = &mut outcomes else { break };
            if written[n] == Written::Missing {
                match self.within(async |conn| checkpoint::beat(database.schema(), conn, beat).await).await {
                    Ok(()) => written[n] = Written::Yes,
                    Err(error) => tracing::debug!(%error, "the first heartbeat was not written"),
                }
            }
        }
        drop(beats);
        for (n, &index) in due.iter().enumerate() {
            let beating = &mut all[index];
            match &outcomes {
                Ok(written) if written[n] == Written::Yes => beating.written(applied[n], started),
                Ok(_) => beating.lateness.failed("another session has locked its row", Instant::now()),
                Err(why) => beating.lateness.failed(why, Instant::now()),
            }
            beating.tried(started);
        }
        self.all = all;
    }

    /// Counts the lag of the worker whose count is due for the longest time. A worker that ends does not wait for that.
    async fn count(&mut self) {
        let started = Instant::now();
        let is_due = |one: &&Beating| one.joined.load(Ordering::Acquire) && one.count_at <= started;
        let Some(one) = self.all.iter().filter(is_due).min_by_key(|one| one.count_at) else { return };
        let (pulse, interest, source) = (Arc::clone(&one.pulse), one.interest.clone(), one.log.clone());
        let (database, conn, mut log) = (self.database.clone(), self.conn.take(), self.log.take());
        let counting = within(&database, conn, async |conn: &mut PgConnection| {
            if let (Some(source), None) = (&source, &log) {
                log = Some(source.open().await.map_err(|error| sqlx::Error::Configuration(Box::new(error)))?);
            }
            let (schema, name, class) = (database.schema(), pulse.projection.as_str(), pulse.class);
            let lag = checkpoint::lag(schema, conn, log.as_mut(), name, class, &interest).await?;
            Ok((lag, checkpoint::parked_aggregates(schema, conn, name, class).await?))
        });
        let interrupted = ending(&mut self.received, &mut self.queued);
        tokio::select! {
            (conn, counted) = counting => {
                self.conn = conn;
                match counted {
                    Ok((lag, parked_aggregates)) => {
                        self.log = log;
                        pulse.progress.set_counted(lag, parked_aggregates);
                    }
                    Err(error) => tracing::debug!(partition = %pulse.class, %error, "the lag was not counted"),
                }
            }
            () = interrupted => {}
        }
        if let Some(one) = self.all.iter_mut().find(|one| one.pulse.worker == pulse.worker) {
            let pause = (started.elapsed() * PAUSE_PER_COUNT).clamp(one.interval, LONGEST_COUNT_PAUSE);
            one.count_at = Instant::now() + pause;
        }
    }

    /// Does something on the connection, or on a new one, in its time.
    async fn within<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Failure> {
        let (conn, done) = within(&self.database, self.conn.take(), work).await;
        self.conn = conn;
        done
    }
}

/// Ends when a worker's heartbeat is to end, or all are. Keeps what comes.
async fn ending(received: &mut mpsc::UnboundedReceiver<Message>, queued: &mut VecDeque<Message>) {
    loop {
        match received.recv().await {
            Some(begin @ Message::Begin(_)) => queued.push_back(begin),
            Some(other) => {
                queued.push_back(other);
                return;
            }
            None => return,
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
