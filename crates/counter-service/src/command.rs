//! What a shard is asked.

use super::error::ServiceError;
use super::id::CounterId;
use evenfold_http::Traceparent;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

/// What a counter stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CounterValue {
    /// The sum of its increments.
    pub value: i64,
    /// How many events it has had: 0 if it is not known.
    pub version: i64,
}

/// About one counter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Command {
    pub(super) id: CounterId,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum What {
    Read,
    Increment {
        amount: i64,
        event_id: Uuid,
        /// It may be in the log already, by an attempt that was not answered.
        again: bool,
        /// What has caused it, for the event's metadata.
        traceparent: Option<Traceparent>,
    },
}

impl Command {
    pub(super) fn changes(&self) -> bool {
        matches!(self.what, What::Increment { .. })
    }

    /// Whether an earlier attempt may have appended its event.
    pub(super) fn may_be_repeated(&self) -> bool {
        matches!(self.what, What::Increment { again: true, .. })
    }
}

/// What became of a command.
pub(super) type Outcome = Result<CounterValue, Refused>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refused {
    /// The shard belongs to another node, or may by now: nothing has happened.
    NotOwner,
    /// For the client.
    Error(ServiceError),
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        Self::Error(error)
    }
}

/// A command that a shard has taken from its mailbox, and who waits for its outcome.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Outcome>,
    taken: Instant,
}

impl Call {
    /// It is being handled from now on.
    pub(super) fn new(command: Command, answer: oneshot::Sender<Outcome>) -> Self {
        Self { command, answer, taken: Instant::now() }
    }

    /// How long its shard has had it.
    pub(super) fn took(&self) -> Duration {
        self.taken.elapsed()
    }

    pub(super) fn answer(self, outcome: Outcome) {
        // Whoever asked may have ceased to wait.
        let _nobody = self.answer.send(outcome);
    }
}
