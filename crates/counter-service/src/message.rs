//! What a shard is sent.

use super::command::{Command, Outcome};
use super::id::CounterId;
use super::question::CounterItems;
use super::work::Finished;
use evenfold_cluster::sharding::{Part, Released};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What a shard is sent.
pub(super) enum Message {
    Call(Command, oneshot::Sender<Outcome>),
    /// What became of one of its batches.
    Finished(Finished),
    Top(Top),
    /// It is another node's now: for a part of what is to be handed over, when nothing is on its way to the log any
    /// more.
    Release(Part, oneshot::Sender<Released<CounterItems>>),
    /// Another node has handed this over.
    Take(CounterItems),
    /// It is to be this node's now, which has taken over all that others had of it.
    Begin,
    /// The log may have less than was read from it.
    Forget,
}

/// What a shard is asked for: its counters of the highest values, so many of them, and those that are named.
pub(super) struct Top {
    pub(super) limit: usize,
    /// Only names of the shard's own.
    pub(super) named: Arc<[CounterId]>,
    /// Returned when the last shard has answered or, as nobody waits any more, dropped the message: until then it takes
    /// the shards' time.
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Top {
    pub(super) fn new(limit: usize, named: Arc<[CounterId]>, permit: Arc<OwnedSemaphorePermit>) -> Self {
        Self { limit, named, _permit: permit }
    }
}
