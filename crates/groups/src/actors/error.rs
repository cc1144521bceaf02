//! Why a message was not accepted, or not answered.

use super::options::GroupOptionsError;
use std::fmt;

/// A message that was not accepted: nothing has happened, and it is handed back.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError<M> {
    /// The mailbox of its shard was full, for as long as the caller would wait.
    #[error("the shard's mailbox is full: try again later, or wait longer")]
    Full(M),
    /// The group has ended.
    #[error("the actor group has ended")]
    Stopped(M),
}

impl<M> SendError<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Stopped(message) => message,
        }
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full"),
            Self::Stopped(_) => f.write_str("Stopped"),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The mailbox of its shard was full, for as long as the caller would wait: nothing has happened.
    #[error("the shard's mailbox is full: try again later, or wait longer")]
    Full,
    /// The message was accepted, and no answer came in time. It is handled or not: not if its turn has not come yet.
    #[error("the shard has not answered in time: the message may have been handled")]
    TimedOut,
    /// The shard panicked at the message, or before it if the group [drops](super::AfterPanic::Drop) what waits then.
    #[error("the shard panicked and has been restarted: the message may have been handled in part")]
    Panicked,
    /// The group has ended, or has no such shard.
    #[error("the actor group has ended, or has no such shard")]
    Stopped,
}

/// Why nothing was gathered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GatherError {
    /// These shards have not answered in time, and a part is not enough.
    #[error("{} shards have not answered in time: {missing:?}", missing.len())]
    Missing {
        /// Their numbers.
        missing: Vec<u32>,
    },
    /// The group has ended.
    #[error("the actor group has ended")]
    Stopped,
}

/// Why the number of shards is not, or not properly, another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResizeError {
    /// The number is out of its limits: nothing has happened.
    #[error(transparent)]
    Options(#[from] GroupOptionsError),
    /// The number of shards is the new one, but a shard panicked while it gave items or took them, three times in a row
    /// when giving: these items are gone.
    #[error("shard {0} panicked while items were handed over: some are gone")]
    Handover(u32),
    /// The group has ended: nothing has happened.
    #[error("the actor group has ended")]
    Stopped,
}
