//! A queue for each node that is asked, and the task that empties it.

use super::batch::{Asked, Claim, Sender, largest};
use super::error::{NotSent, PeerError};
use super::metrics::Counts;
use super::tasks::Tasks;
use super::transport::Transport;
use super::{ClusterOptions, NodeId};
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// The queue for a node that nobody has asked for so long goes away, with its task.
const IDLE: Duration = Duration::from_mins(1);

/// A year is as good as for ever, and can be counted from any moment.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// The queues of one node for all others.
pub(super) struct Queues {
    transport: Arc<dyn Transport>,
    from: NodeId,
    incarnation: u64,
    options: ClusterOptions,
    counts: Arc<Counts>,
    tasks: Tasks,
    /// Requests are put in while it is locked for reading, so a queue that is found empty while it is locked for
    /// writing can go.
    open: RwLock<HashMap<NodeId, mpsc::Sender<Asked>>>,
}

impl Queues {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        from: NodeId,
        incarnation: u64,
        options: ClusterOptions,
        counts: Arc<Counts>,
        tasks: Tasks,
    ) -> Self {
        Self { transport, from, incarnation, options, counts, tasks, open: RwLock::default() }
    }

    /// Has a question sent, and waits for the answer for this long.
    pub(super) async fn ask(
        self: &Arc<Self>,
        to: &NodeId,
        question: Bytes,
        limit: Duration,
    ) -> Result<Bytes, PeerError> {
        let (bytes, max) = (question.len(), largest(&*self.transport));
        if bytes > max {
            return Err(PeerError::NotSent(NotSent::TooLarge { bytes, max }));
        }
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + limit.min(LONGEST);
        let claim = Claim::default();
        self.enqueue(to, Asked { question, until, claim: claim.clone(), answer })?;
        match timeout_at(until, answered).await {
            Ok(Ok(answer)) => answer,
            // Its task ends with the node.
            Ok(Err(_)) if claim.take() => Err(PeerError::NotSent(NotSent::Left)),
            Err(_) if claim.take() => Err(PeerError::NotSent(NotSent::TooLate(to.clone()))),
            Ok(Err(_)) => Err(PeerError::unanswered(to, "this node has left")),
            Err(_) => Err(PeerError::unanswered(to, format!("no answer came within {limit:?}"))),
        }
    }

    fn enqueue(self: &Arc<Self>, to: &NodeId, asked: Asked) -> Result<(), PeerError> {
        if self.tasks.stop.is_cancelled() {
            return Err(PeerError::NotSent(NotSent::Left));
        }
        let queues = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let outcome = if let Some(queue) = queues.get(to) {
            queue.try_send(asked)
        } else {
            drop(queues);
            let mut queues = self.open.write().unwrap_or_else(PoisonError::into_inner);
            queues.entry(to.clone()).or_insert_with(|| self.open(to)).try_send(asked)
        };
        outcome.map_err(|error| match error {
            TrySendError::Full(_) => PeerError::NotSent(NotSent::Busy(to.clone())),
            TrySendError::Closed(_) => PeerError::NotSent(NotSent::Left),
        })
    }

    fn open(self: &Arc<Self>, to: &NodeId) -> mpsc::Sender<Asked> {
        let (queue, mut waiting) = mpsc::channel(self.options.queue);
        let (queues, to) = (Arc::clone(self), to.clone());
        self.tasks.spawn(async move {
            let sender = Sender {
                transport: Arc::clone(&queues.transport),
                from: queues.from.clone(),
                incarnation: queues.incarnation,
                to: to.clone(),
                options: queues.options,
                counts: Arc::clone(&queues.counts),
            };
            loop {
                sender.run(&mut waiting, IDLE).await;
                let mut open = queues.open.write().unwrap_or_else(PoisonError::into_inner);
                if waiting.is_empty() {
                    open.remove(&to);
                    return;
                }
            }
        });
        queue
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").field("from", &self.from).finish_non_exhaustive()
    }
}
