//! The task of an appender: takes what waits, appends it together, and answers each caller.
//!
//! There are two lanes, each with a connection: while the database works on one group, the other is made and answered.

use super::append::append_in;
use super::queue::{Busy, Queue, Request};
use super::sizes::Sizes;
use super::{AppendError, Appended, Epoch, MAX_APPEND_EVENTS};
use crate::database::{Database, Schema, back_off, told};
use crate::event::NewEvent;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{Connection, PgConnection};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How long a group may wait for a lock, which is another writer's open transaction. A group is halved at most 14 times
/// before it is known whose events must wait, so this is a part of what all others wait.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// sqlx has no timeout of its own: on a connection that went silent all callers would wait for ever.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Where connections come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) database: Database,
    /// None where it does not matter what was read from the server before.
    pub(super) epoch: Option<Epoch>,
}

impl Source {
    async fn connect(&self) -> Result<PgConnection, String> {
        match &self.epoch {
            Some(epoch) => epoch.connect(&self.database).await,
            None => self.database.connect().await.map_err(|error| error.to_string()),
        }
    }
}

/// What the lanes have in common.
#[derive(Debug)]
pub(super) struct Task {
    source: Source,
    /// Whoever waits for calls holds it.
    queue: Mutex<Queue>,
    busy: Busy,
    closing: CancellationToken,
    sizes: Arc<Sizes>,
}

impl Task {
    pub(super) fn new(
        source: Source,
        waiting: mpsc::Receiver<Request>,
        max_events: usize,
        closing: CancellationToken,
        sizes: Arc<Sizes>,
    ) -> Self {
        let source = Source { database: source.database.waiting_at_most(LOCK_TIMEOUT), ..source };
        let queue = Queue::new(waiting, max_events.clamp(1, MAX_APPEND_EVENTS), closing.clone());
        Self { source, queue: Mutex::new(queue), busy: Busy::default(), closing, sizes }
    }

    /// Until the last appender is dropped or one is closed, and everything that was called for is answered.
    pub(super) async fn run(self) {
        // With a third one 8 writers append a few percent more.
        tokio::join!(self.lane(), self.lane());
    }

    async fn lane(&self) {
        let mut kept = None;
        // How often in a row there was no connection, or it was lost.
        let mut failures = 0;
        loop {
            let mut queue = self.queue.lock().await;
            if !queue.any().await {
                break;
            }
            // Before the group is made: what comes in while there is no connection is part of it.
            let conn = match kept.take() {
                Some(conn) => Ok(conn),
                None => self.connect(&mut failures).await,
            };
            let Some(mut group) = queue.take(&self.busy).await else { break };
            drop(queue);
            let outcome = match conn {
                Ok(mut conn) => {
                    group.append(self.source.database.schema(), &mut conn, &self.sizes).await.map(|()| conn)
                }
                Err(why) => Err(why),
            };
            match outcome {
                Ok(conn) => {
                    kept = Some(conn);
                    failures = 0;
                }
                Err(why) => {
                    failures += 1;
                    tracing::warn!("{} appends have no answer: {why}", group.lose(&why));
                }
            }
            self.busy.free(&group.events);
        }
        if let Some(conn) = kept {
            // The server finds out by itself if this fails.
            let _ = tokio::time::timeout(TIMEOUT, conn.close()).await;
        }
    }

    /// A connection, or the reason why there is none, once the appender is to close.
    async fn connect(&self, failures: &mut u32) -> Result<PgConnection, String> {
        loop {
            if let Some(before) = failures.checked_sub(1) {
                self.closing.run_until_cancelled(tokio::time::sleep(back_off(before))).await;
            }
            match self.source.connect().await {
                Ok(conn) => return Ok(conn),
                Err(why) if self.closing.is_cancelled() => return Err(why),
                Err(why) => {
                    *failures += 1;
                    tracing::warn!(failures, "appends wait: {why}; trying again");
                }
            }
        }
    }
}

/// Events of several calls, in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct Group {
    events: Vec<NewEvent>,
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    /// Where its events end, which begin where those of the call before do.
    end: usize,
    /// None once it is answered.
    answer: Option<oneshot::Sender<Result<Vec<Appended>, AppendError>>>,
}

impl Group {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn add(&mut self, call: Request) {
        self.events.extend(call.events);
        self.calls.push(Call { end: self.events.len(), answer: Some(call.answer) });
    }

    /// Appends the group, or, where that fails, its halves, one after the other, until a call that can't be appended is
    /// alone with its error. An error here is the connection's, which is of no use any more.
    async fn append(&mut self, schema: &Schema, conn: &mut PgConnection, sizes: &Sizes) -> Result<(), String> {
        let mut parts: Vec<Range<usize>> = std::iter::once(0..self.calls.len()).collect();
        while let Some(part) = parts.pop() {
            let events = &self.events[self.begin(part.start)..self.begin(part.end)];
            let outcome = match tokio::time::timeout(TIMEOUT, append_in(schema, conn, events)).await {
                Ok(Err(AppendError::Database(error))) if is_lost(&error) => return Err(told(&error)),
                Ok(outcome) => outcome,
                Err(_) => return Err(format!("no answer within {} seconds", TIMEOUT.as_secs())),
            };
            match outcome {
                Ok(appended) => {
                    sizes.add(appended.len());
                    self.answer(part, &appended);
                }
                Err(error) if part.len() == 1 => self.calls[part.start].answer(Err(error)),
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
            }
        }
        Ok(())
    }

    fn begin(&self, call: usize) -> usize {
        call.checked_sub(1).map_or(0, |before| self.calls[before].end)
    }

    fn answer(&mut self, part: Range<usize>, mut appended: &[Appended]) {
        for call in part {
            let (own, rest) = appended.split_at(self.calls[call].end - self.begin(call));
            self.calls[call].answer(Ok(own.to_vec()));
            appended = rest;
        }
    }

    /// Tells everybody who has no answer yet that there will be none, and how many those are.
    fn lose(&mut self, why: &str) -> usize {
        let lost = self.calls.iter_mut().filter(|call| call.answer.is_some());
        lost.map(|call| call.answer(Err(AppendError::Unanswered(why.to_owned())))).count()
    }
}

impl Call {
    fn answer(&mut self, outcome: Result<Vec<Appended>, AppendError>) {
        if let Some(answer) = self.answer.take() {
            // Nobody is told if the caller does not wait any more.
            let _ = answer.send(outcome);
        }
    }
}

/// Whether the error is the connection's: it is not the database's answer, or the last one.
fn is_lost(error: &sqlx::Error) -> bool {
    let answer = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    answer.is_none_or(|answer| matches!(answer.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}
