//! The task of an appender: takes what waits, appends it together, and answers each caller.

use super::append::append;
use super::{AppendError, Appended, MAX_APPEND_EVENTS};
use crate::database::{Database, back_off, told};
use crate::event::NewEvent;
use serde_json::value::RawValue;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{Connection, PgConnection};
use std::ops::Range;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The events of a group may have this many bytes together, unless those of its first call have more.
const MAX_GROUP_BYTES: usize = 4 * 1024 * 1024;

/// How long a group may wait for a lock, which is another writer's open transaction. A group is halved at most 14 times
/// before it is known whose events must wait, so this is a part of what all others wait.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// sqlx has no timeout of its own: on a connection that went silent all callers would wait for ever.
const TIMEOUT: Duration = Duration::from_mins(1);

/// One call.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) events: Vec<NewEvent>,
    pub(super) answer: oneshot::Sender<Result<Vec<Appended>, AppendError>>,
}

impl Request {
    fn bytes(&self) -> usize {
        let text = |json: &Option<Box<RawValue>>| json.as_deref().map_or(0, |json| json.get().len());
        let one = |event: &NewEvent| {
            let name = &event.aggregate;
            let names = name.aggregate_type.len() + name.aggregate_id.len() + event.event_type.len();
            names + event.payload.get().len() + text(&event.metadata)
        };
        self.events.iter().map(one).sum()
    }
}

#[derive(Debug)]
pub(super) struct Task {
    database: Database,
    waiting: mpsc::Receiver<Request>,
    max_events: usize,
    closing: CancellationToken,
    conn: Option<PgConnection>,
    /// A call that did not fit into the last group.
    held: Option<Request>,
    /// How often in a row there was no connection, or it was lost.
    failures: u32,
}

impl Task {
    pub(super) fn new(
        database: &Database,
        waiting: mpsc::Receiver<Request>,
        max_events: usize,
        closing: CancellationToken,
    ) -> Self {
        let database = database.named("evenfold append").waiting_at_most(LOCK_TIMEOUT);
        let max_events = max_events.clamp(1, MAX_APPEND_EVENTS);
        Self { database, waiting, max_events, closing, conn: None, held: None, failures: 0 }
    }

    /// Until the last appender is dropped or one is closed, and everything that was called for is answered.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.next().await {
            // Before the group is made: what comes in while there is no connection is part of it.
            let conn = self.connection().await;
            let mut group = self.group(first);
            let outcome = match conn {
                Ok(mut conn) => group.append(&mut conn).await.map(|()| conn),
                Err(why) => Err(why),
            };
            match outcome {
                Ok(conn) => {
                    self.conn = Some(conn);
                    self.failures = 0;
                }
                Err(why) => {
                    self.failures += 1;
                    tracing::warn!("{} appends have no answer: {why}", group.lose(&why));
                }
            }
        }
        if let Some(conn) = self.conn {
            // The server finds out by itself if this fails.
            let _ = tokio::time::timeout(TIMEOUT, conn.close()).await;
        }
    }

    async fn next(&mut self) -> Option<Request> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        if let Some(next) = self.closing.run_until_cancelled(self.waiting.recv()).await {
            return next;
        }
        // Nothing more comes in; what has come in is still there to be taken.
        self.waiting.close();
        self.waiting.recv().await
    }

    /// The connection, or a new one, or the reason why there is none, once the appender is to close.
    async fn connection(&mut self) -> Result<PgConnection, String> {
        if let Some(conn) = self.conn.take() {
            return Ok(conn);
        }
        loop {
            if let Some(before) = self.failures.checked_sub(1) {
                self.closing.run_until_cancelled(tokio::time::sleep(back_off(before))).await;
            }
            match self.database.connect().await {
                Ok(conn) => return Ok(conn),
                Err(error) if self.closing.is_cancelled() => return Err(error.to_string()),
                Err(error) => {
                    self.failures += 1;
                    tracing::warn!(failures = self.failures, %error, "appends wait; trying again");
                }
            }
        }
    }

    /// Takes what waits, as far as it fits.
    fn group(&mut self, first: Request) -> Group {
        let mut group = Group::default();
        let (mut next, mut bytes) = (Some(first), 0);
        while let Some(request) = next {
            bytes += request.bytes();
            let full = group.events.len() + request.events.len() > self.max_events || bytes > MAX_GROUP_BYTES;
            if full && !group.events.is_empty() {
                self.held = Some(request);
                break;
            }
            // Whoever does not want the answer any more may take it that nothing was appended.
            if !request.answer.is_closed() {
                group.events.extend(request.events);
                group.calls.push(Call { end: group.events.len(), answer: Some(request.answer) });
            }
            next = self.waiting.try_recv().ok();
        }
        group
    }
}

/// Events of several calls, in the order of the calls.
#[derive(Debug, Default)]
struct Group {
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
    /// Appends the group, or, where that fails, its halves, one after the other, until a call that can't be appended is
    /// alone with its error. An error here is the connection's, which is of no use any more.
    async fn append(&mut self, conn: &mut PgConnection) -> Result<(), String> {
        let mut parts: Vec<Range<usize>> = std::iter::once(0..self.calls.len()).collect();
        while let Some(part) = parts.pop() {
            let events = &self.events[self.begin(part.start)..self.begin(part.end)];
            let outcome = match tokio::time::timeout(TIMEOUT, append(conn, events)).await {
                Ok(Err(AppendError::Database(error))) if is_lost(&error) => return Err(told(&error)),
                Ok(outcome) => outcome,
                Err(_) => return Err(format!("no answer within {} seconds", TIMEOUT.as_secs())),
            };
            match outcome {
                Ok(appended) => self.answer(part, &appended),
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
