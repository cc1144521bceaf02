//! Calls that are appended together, and the answer to each.

use super::append::append_in;
use super::sizes::Sizes;
use super::{AppendError, Appended};
use crate::database::{Schema, describe};
use crate::event::NewEvent;
use crate::hash::IdHash;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::ops::Range;
use std::time::Duration;
use tokio::sync::oneshot;

/// sqlx has no timeout of its own: on a connection that went silent all callers would wait for ever.
pub(super) const TIMEOUT: Duration = Duration::from_mins(1);

/// One call.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) events: Vec<NewEvent>,
    pub(super) answer: oneshot::Sender<Result<Vec<Appended>, AppendError>>,
}

impl Request {
    pub(super) fn hashes(&self) -> impl Iterator<Item = IdHash> {
        self.events.iter().map(|event| IdHash::of(&event.aggregate.aggregate_id))
    }

    pub(super) fn bytes(&self) -> usize {
        let text = |json: &Option<Box<RawValue>>| json.as_deref().map_or(0, |json| json.get().len());
        let one = |event: &NewEvent| {
            let name = &event.aggregate;
            let names = name.aggregate_type.len() + name.aggregate_id.len() + event.event_type.len();
            names + event.payload.get().len() + text(&event.metadata)
        };
        self.events.iter().map(one).sum()
    }
}

/// Events of several calls, in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) events: Vec<NewEvent>,
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
    pub(super) async fn append(
        &mut self,
        schema: &Schema,
        conn: &mut PgConnection,
        sizes: &Sizes,
    ) -> Result<(), String> {
        let mut parts: Vec<Range<usize>> = std::iter::once(0..self.calls.len()).collect();
        while let Some(part) = parts.pop() {
            let events = &self.events[self.begin(part.start)..self.begin(part.end)];
            let outcome = match tokio::time::timeout(TIMEOUT, append_in(schema, conn, events)).await {
                Ok(Err(AppendError::Database(error))) if is_lost(&error) => return Err(describe(&error)),
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

    /// Answers everybody who has no answer yet that there will be none, and how many those are.
    pub(super) fn lose(&mut self, why: &str) -> usize {
        let lost = self.calls.iter_mut().filter(|call| call.answer.is_some());
        lost.map(|call| call.answer(Err(AppendError::Unanswered(why.to_owned())))).count()
    }
}

impl Call {
    fn answer(&mut self, outcome: Result<Vec<Appended>, AppendError>) {
        if let Some(answer) = self.answer.take() {
            // Nobody is answered if the caller does not wait any more.
            let _ = answer.send(outcome);
        }
    }
}

/// Whether the error is the connection's: it is not the database's answer, or the last one.
fn is_lost(error: &sqlx::Error) -> bool {
    let answer = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    answer.is_none_or(|answer| matches!(answer.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}
