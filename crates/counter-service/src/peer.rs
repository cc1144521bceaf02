//! What a node answers the others.

use super::command::{Command, Outcome, Refused};
use super::error::ServiceError;
use super::inner::Inner;
use super::message::Message;
use super::question::{CounterItems, NodeReply, Question};
use evenfold_cluster::sharding::{Part, Released};
use evenfold_cluster::{Answer, NodeId};
use std::sync::Weak;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Answers the other nodes for as long as the node is there.
#[derive(Clone)]
pub(super) struct Peer(pub(super) Weak<Inner>);

impl Answer<Question, NodeReply> for Peer {
    async fn answer(&self, _from: &NodeId, question: Question) -> NodeReply {
        let Some(node) = self.0.upgrade().filter(|_| question.is_allowed()) else { return NodeReply::Refused };
        match question {
            Question::Command(command) => {
                let deadline = Instant::now() + node.options.request_timeout;
                NodeReply::Outcome(node.here(command, deadline).await)
            }
            Question::Claim { shards } => {
                node.ownership.answer_claim(&shards).map_or(NodeReply::Refused, NodeReply::Claimed)
            }
            Question::Release { shard, part } => {
                node.release(shard, part).await.map_or(NodeReply::Refused, NodeReply::Released)
            }
            Question::Top { limit, named } => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                // It was looked at that they are few. Those that wait take memory, so what would be too many is not
                // waited for.
                let names = u32::try_from(named.len()).unwrap_or(u32::MAX);
                let Ok(_counted) = node.names.try_acquire_many(names) else { return NodeReply::Refused };
                let deadline = Instant::now() + node.options.request_timeout;
                node.top_here(limit, &named, deadline).await.map_or(NodeReply::Refused, NodeReply::Top)
            }
        }
    }
}

impl Inner {
    /// Has a shard of this node handle a command.
    pub(super) async fn here(&self, command: Command, deadline: Instant) -> Outcome {
        let shard = self.shard_of(&command.id);
        if !self.ownership.owns(shard) {
            return Err(Refused::NotOwner);
        }
        let (answer, outcome) = oneshot::channel();
        let message = Message::Call(command, answer);
        self.shards.hand_to_shard(shard, message).await.map_err(|refused| match refused {
            evenfold_groups::SendError::Full(_) => ServiceError::Busy,
            evenfold_groups::SendError::Stopped(_) => ServiceError::Stopped,
        })?;
        match tokio::time::timeout_at(deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ServiceError::TimedOut("its shard failed".to_owned()).into()),
            Err(_) => Err(ServiceError::TimedOut("its shard has not answered in time".to_owned()).into()),
        }
    }

    /// Hands a part of a shard over. None if the shard does not answer in time.
    async fn release(&self, shard: u32, part: Part) -> Option<Released<CounterItems>> {
        let (done, released) = oneshot::channel();
        let limit = self.options.request_timeout;
        self.shards.ask_shard(shard, Message::Release(part, done), limit).await.ok()?;
        tokio::time::timeout(limit, released).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::CounterId;
    use super::super::inner::{TOPS, WAITING_NAMES};
    use super::super::limits::MAX_NAMED;
    use super::super::options::{NodeOptions, Storage};
    use super::*;
    use evenfold_groups::ProcessGroups;
    use futures_util::FutureExt;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_list_for_another_node_is_refused_while_those_that_wait_name_as_many_counters_as_may_be() {
        let started = Inner::start(NodeOptions::default(), Storage::Volatile, &ProcessGroups::default(), true).await;
        let node = Arc::new(started.unwrap());
        // No list is made meanwhile.
        let _made = node.tops.acquire_many(u32::try_from(TOPS).unwrap()).await.unwrap();
        let (peer, from) = (Peer(Arc::downgrade(&node)), NodeId::new("b").unwrap());
        let named = vec![CounterId::new("a").unwrap(); MAX_NAMED];
        let list = || peer.answer(&from, Question::Top { limit: 1, named: named.clone() });
        let mut waiting: Vec<_> = (0..WAITING_NAMES / MAX_NAMED).map(|_| Box::pin(list())).collect();
        assert!(waiting.iter_mut().all(|list| list.now_or_never().is_none()));
        assert!(matches!(list().now_or_never(), Some(NodeReply::Refused)));
        waiting.pop();
        assert!(list().now_or_never().is_none(), "one is not waited for any more");
    }
}
