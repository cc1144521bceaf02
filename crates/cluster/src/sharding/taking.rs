//! Taking over what other nodes have of a shard.

use super::handover::{Handover, Part, Released};
use super::ownership::Ownership;
use crate::{Membership, NodeId};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// How long a node may take for one answer.
pub(super) const ANSWER: Duration = Duration::from_millis(500);

/// The pause before a node is asked again that has not answered.
const PAUSE: Duration = Duration::from_millis(50);

/// How many shards are taken over at a time, where they are handed over in parts: all answers fit into one frame.
const AT_ONCE: usize = 64;

/// What is needed to take shards over. Clones are cheap.
#[derive(Clone)]
pub(super) struct Taking<H> {
    pub(super) ownership: Arc<Ownership>,
    pub(super) membership: Membership,
    pub(super) handover: H,
    /// A node that lives and does not answer is not waited for any longer: it may not see this one. None: without
    /// limit.
    patience: Option<Duration>,
    /// None where a log has everything: nothing is handed over in parts there.
    room: Option<Arc<Semaphore>>,
}

impl<H: Handover> Taking<H> {
    pub(super) fn new(
        ownership: Arc<Ownership>,
        membership: Membership,
        handover: H,
        patience: Option<Duration>,
    ) -> Self {
        let room = patience.is_none().then(|| Arc::new(Semaphore::new(AT_ONCE)));
        Self { ownership, membership, handover, patience, room }
    }

    /// Whether nobody is waited for any more who has been for so long.
    pub(super) fn has_waited(&self, since: Instant) -> bool {
        self.patience.is_some_and(|patience| since.elapsed() >= patience)
    }

    /// Takes over a shard from those who have something of it, to the end, whatever is seen meanwhile: what is on its
    /// way would be nobody's. Whether nothing is left there.
    pub(super) async fn take(self, shard: u32, from: Vec<(NodeId, u64)>) -> bool {
        let all = join_all(from.iter().map(|(node, holding)| self.take_from(shard, node, *holding))).await;
        self.handover.begin(shard).await;
        all.into_iter().all(|taken| taken)
    }

    async fn take_from(&self, shard: u32, node: &NodeId, holding: u64) -> bool {
        // It is never closed.
        let _room = match &self.room {
            Some(room) => room.acquire().await.ok(),
            None => None,
        };
        let (started, known) = (Instant::now(), self.membership.known());
        let mut part = Part { holding, taking: fastrand::u64(..), number: 0 };
        loop {
            match self.handover.release(node, shard, part, ANSWER).await {
                Some(Released::Part(items)) => {
                    self.ownership.waiting.ends(node);
                    self.handover.take(shard, items).await;
                    part.number += 1;
                    continue;
                }
                Some(Released::Done) => {
                    self.ownership.waiting.ends(node);
                    return true;
                }
                Some(Released::Refused) => return false,
                None => {}
            }
            self.ownership.waiting.begins(node);
            if !known.borrow().contains(node) {
                // Whether it had anything left is not known here: one that left has logged it if so. Another node may
                // have taken the shard over from it since it was asked about its claim, and the last answer may have
                // been lost.
                tracing::info!(shard, from = %node, parts = part.number, "a node is gone or dead, and hands nothing over any more");
                return true;
            }
            if self.has_waited(started) {
                tracing::warn!(shard, from = %node, "a node that lives has not given a shard: it is taken over all the same");
                return true;
            }
            sleep(PAUSE).await;
        }
    }
}
