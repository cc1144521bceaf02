//! What nodes ask each other.

use super::command::{Call, Command, Counted, Outcome, Refused};
use super::error::ServiceError;
use super::id::CounterId;
use super::inner::Inner;
use super::shard::{Message, Ranked};
use crate::cluster::{Answer, NodeId};
use serde::{Deserialize, Serialize};
use std::sync::Weak;
use tokio::sync::oneshot;
use tokio::time::Instant;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Question {
    /// To the owner of its shard.
    Command(Command),
    /// To the owner before: the asker is it now.
    Release { shard: u32 },
    /// For the counters of the highest values that the node has in memory, and so many of them; and for what it has in memory
    /// of the others that are named.
    Top { limit: u64, named: Vec<CounterId> },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Reply {
    Outcome(Outcome),
    Released(Released),
    Top(Vec<Ranked>),
    /// The node can't answer that now.
    Refused,
}

/// A part of what a shard has given up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Released {
    /// Counters that are kept in memory only.
    pub(super) counters: Vec<(CounterId, Counted)>,
    /// Whether there are more: ask again.
    pub(super) more: bool,
}

/// Answers the other nodes for as long as the node is there.
#[derive(Clone)]
pub(super) struct Peer(pub(super) Weak<Inner>);

impl Answer<Question, Reply> for Peer {
    async fn answer(&self, from: &NodeId, question: Question) -> Reply {
        let Some(node) = self.0.upgrade() else { return Reply::Refused };
        match question {
            Question::Command(command) => {
                let deadline = Instant::now() + node.options.request_timeout;
                Reply::Outcome(node.here(command, deadline).await)
            }
            Question::Release { shard } => node.release(from, shard).await.map_or(Reply::Refused, Reply::Released),
            Question::Top { limit, named } => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                node.top_here(limit, &named).await.map_or(Reply::Refused, Reply::Top)
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
        let message = Message::Call(Call { command, answer });
        self.shards.try_tell_shard(shard, message).map_err(|refused| match refused {
            crate::group::TellError::Full(_) => ServiceError::Busy,
            crate::group::TellError::Stopped(_) => ServiceError::Stopped,
        })?;
        match tokio::time::timeout_at(deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ServiceError::TimedOut("its shard failed".to_owned()).into()),
            Err(_) => Err(ServiceError::TimedOut("its shard has not answered in time".to_owned()).into()),
        }
    }

    /// Gives a shard to a node that owns it now. None if this node does not see that yet: its answer would be that of an
    /// owner again.
    async fn release(&self, to: &NodeId, shard: u32) -> Option<Released> {
        let view = self.ownership.cluster()?.view();
        if shard as usize >= view.shards() || view.owner(shard) != to {
            return None;
        }
        self.ownership.lose(shard);
        let (done, released) = oneshot::channel();
        self.shards.ask_shard(shard, Message::Release(done), self.options.request_timeout).await.ok()?;
        let released = tokio::time::timeout(self.options.request_timeout, released).await.ok()?.ok()?;
        if !released.more {
            self.ownership.give(shard);
        }
        Some(released)
    }
}
