//! Taking over what other nodes have of a shard.

use super::message::Message;
use super::ownership::Ownership;
use super::question::{NodeReply, Part, Question, Released};
use super::shard::CounterShard;
use evenfold_cluster::{Cluster, NodeId};
use evenfold_groups::ActorGroup;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// How long a node may take for one answer.
pub(super) const ANSWER: Duration = Duration::from_millis(500);

/// The pause before a node is asked again that has not answered.
const PAUSE: Duration = Duration::from_millis(50);

/// A node that lives and does not answer is not waited for any longer, where the log decides: it may not see this one.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How many shards are taken over at a time, where they are handed over in parts: all answers fit into one frame.
const AT_ONCE: usize = 64;

/// What is needed to take shards over. Clones are cheap.
#[derive(Clone)]
pub(super) struct Taking {
    pub(super) ownership: Arc<Ownership>,
    pub(super) shards: ActorGroup<CounterShard>,
    pub(super) cluster: Cluster<Question, NodeReply>,
    /// None where counters are in the log: nothing is handed over there, so nobody is waited for without limit.
    room: Option<Arc<Semaphore>>,
}

impl Taking {
    pub(super) fn new(
        ownership: Arc<Ownership>,
        shards: ActorGroup<CounterShard>,
        cluster: Cluster<Question, NodeReply>,
        durable: bool,
    ) -> Self {
        let room = (!durable).then(|| Arc::new(Semaphore::new(AT_ONCE)));
        Self { ownership, shards, cluster, room }
    }

    pub(super) fn is_durable(&self) -> bool {
        self.room.is_none()
    }

    /// Takes over a shard from those who have something of it, to the end, whatever is seen meanwhile: what is on its
    /// way would be nobody's. Whether nothing is left there.
    pub(super) async fn take(self, shard: u32, from: Vec<(NodeId, u64)>) -> bool {
        let all = join_all(from.iter().map(|(node, holding)| self.take_from(shard, node, *holding))).await;
        // What the shard knew of the log is not good any more.
        self.put(shard, Message::Begin).await;
        all.into_iter().all(|taken| taken)
    }

    async fn take_from(&self, shard: u32, node: &NodeId, holding: u64) -> bool {
        // It is never closed.
        let _room = match &self.room {
            Some(room) => room.acquire().await.ok(),
            None => None,
        };
        let (started, known) = (Instant::now(), self.cluster.known());
        let mut part = Part { holding, taking: fastrand::u64(..), number: 0 };
        loop {
            match self.cluster.ask(node, Question::Release { shard, part }, ANSWER).await {
                Ok(NodeReply::Released(Released::Part(counters))) => {
                    self.ownership.waiting.ends(node);
                    self.put(shard, Message::Take(counters)).await;
                    part.number += 1;
                    continue;
                }
                Ok(NodeReply::Released(Released::Done)) => {
                    self.ownership.waiting.ends(node);
                    return true;
                }
                Ok(NodeReply::Released(Released::Refused)) => return false,
                Ok(_) | Err(_) => {}
            }
            self.ownership.waiting.begins(node);
            if !known.borrow().contains(node) {
                // Whether it had anything left is not known here: one that left has logged it if so. Another node may
                // have taken the shard over from it since it was asked about its claim, and the last answer may have
                // been lost.
                tracing::info!(shard, from = %node, parts = part.number, "a node is gone or dead, and hands nothing over any more");
                return true;
            }
            if self.is_durable() && started.elapsed() >= PATIENCE {
                tracing::warn!(shard, from = %node, "a node that lives has not given a shard: it is taken over all the same");
                return true;
            }
            sleep(PAUSE).await;
        }
    }

    async fn put(&self, shard: u32, message: Message) {
        // A group that has ended counts nothing any more.
        let _ended = self.shards.ask_shard(shard, message, Duration::MAX).await;
    }
}
