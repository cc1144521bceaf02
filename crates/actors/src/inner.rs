//! What the clones of a node have in common.

use super::error::RequestError;
use super::peers::Kinds;
use super::wire::{NodeReply, Question};
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub(super) struct Inner {
    pub(super) shards: NonZeroU32,
    pub(super) cluster: evenfold_cluster::Cluster<Question, NodeReply>,
    pub(super) kinds: Arc<Kinds>,
    /// The requests that have entered here.
    pub(super) requests: TaskTracker,
    pub(super) background: CancellationToken,
    _dropped: DropGuard,
}

impl Inner {
    pub(super) fn new(
        shards: NonZeroU32,
        cluster: evenfold_cluster::Cluster<Question, NodeReply>,
        kinds: Arc<Kinds>,
    ) -> Self {
        let background = CancellationToken::new();
        let dropped = background.clone().drop_guard();
        Self { shards, cluster, kinds, requests: TaskTracker::new(), background, _dropped: dropped }
    }

    pub(super) fn enter(&self) -> Result<TaskTrackerToken, RequestError> {
        let token = self.requests.token();
        if self.requests.is_closed() { Err(RequestError::Left) } else { Ok(token) }
    }
}
