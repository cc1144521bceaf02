//! What nodes ask each other.

use super::command::{Command, Counted, Outcome, Refused};
use super::error::ServiceError;
use super::id::CounterId;
use super::inner::Inner;
use super::limits::named;
use super::shard::{Message, Ranked};
use evenfold_cluster::{Answer, NodeId};
use serde::{Deserialize, Serialize};
use std::sync::Weak;
use tokio::sync::oneshot;
use tokio::time::Instant;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Question {
    /// To the owner of its shard.
    Command(Command),
    /// To everybody: the asker sees that these shards are its own, and owns each of them as soon as all have answered that they
    /// neither own nor claim it.
    Claim { shards: Vec<u32> },
    /// To a node that has something of a shard, from the one whose claim is complete.
    Release { shard: u32, part: Part },
    /// For the counters of the highest values that the node has in memory, and so many of them; and for what it has in memory
    /// of the others that are named.
    Top {
        limit: u64,
        #[serde(deserialize_with = "named")]
        named: Vec<CounterId>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Reply {
    Outcome(Outcome),
    /// In the order of the shards.
    Claimed(Vec<Claimed>),
    Released(Released),
    Top(Vec<Ranked>),
    /// The node can't answer that now.
    Refused,
}

/// What a node answers about a shard that another one claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Claimed {
    /// It does not own it, does not claim it, and has nothing of it.
    Free,
    /// It does not own and does not claim it, and has something of it, under this number.
    Holds(u64),
    /// It owns it as far as it sees, or claims it or takes it over: it is to be asked again.
    NotYet,
}

/// Which part is asked for of what a node has of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The number under which the node has it.
    pub(super) holding: u64,
    /// Drawn by whoever takes it over, each time that it begins to.
    pub(super) taking: u64,
    /// From 0 on. It acknowledges the part before.
    pub(super) number: u64,
}

/// What a node hands over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Released {
    /// Counters that are kept in memory only. The node keeps them, too, until the next part is asked for.
    Part(Vec<(CounterId, Counted)>),
    /// There is nothing left, and the node has nothing of the shard any more.
    Done,
    /// It is not for whoever asks: the claim is to be made again.
    Refused,
}

/// Answers the other nodes for as long as the node is there.
#[derive(Clone)]
pub(super) struct Peer(pub(super) Weak<Inner>);

impl Answer<Question, Reply> for Peer {
    async fn answer(&self, _from: &NodeId, question: Question) -> Reply {
        let Some(node) = self.0.upgrade().filter(|_| question.is_allowed()) else { return Reply::Refused };
        match question {
            Question::Command(command) => {
                let deadline = Instant::now() + node.options.request_timeout;
                Reply::Outcome(node.here(command, deadline).await)
            }
            Question::Claim { shards } => node.claimed(&shards).map_or(Reply::Refused, Reply::Claimed),
            Question::Release { shard, part } => {
                node.release(shard, part).await.map_or(Reply::Refused, Reply::Released)
            }
            Question::Top { limit, named } => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                // It was looked at that they are few. Those that wait take memory, so what would be too many is not waited for.
                let names = u32::try_from(named.len()).unwrap_or(u32::MAX);
                let Ok(_counted) = node.names.try_acquire_many(names) else { return Reply::Refused };
                let deadline = Instant::now() + node.options.request_timeout;
                node.top_here(limit, &named, deadline).await.map_or(Reply::Refused, Reply::Top)
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
        self.shards.try_tell_shard(shard, message).map_err(|refused| match refused {
            evenfold_groups::TellError::Full(_) => ServiceError::Busy,
            evenfold_groups::TellError::Stopped(_) => ServiceError::Stopped,
        })?;
        match tokio::time::timeout_at(deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ServiceError::TimedOut("its shard failed".to_owned()).into()),
            Err(_) => Err(ServiceError::TimedOut("its shard has not answered in time".to_owned()).into()),
        }
    }

    /// What this node has to do with the shards that another one claims. None if there are no such shards.
    fn claimed(&self, shards: &[u32]) -> Option<Vec<Claimed>> {
        if shards.len() > self.shard_count.get() as usize || shards.iter().any(|shard| *shard >= self.shard_count.get())
        {
            return None;
        }
        // One that has not joined has nothing.
        let view = self.ownership.cluster().map(|cluster| (cluster.view(), cluster.id()));
        let claimed = shards.iter().map(|shard| {
            // What has changed hands is given up here at once, and not only when this node itself gets around to it.
            if view.as_ref().is_some_and(|(view, own)| view.owner(*shard) != *own) {
                self.ownership.lose(*shard);
            }
            self.ownership.claimed(*shard)
        });
        Some(claimed.collect())
    }

    /// Hands a part of a shard over. None if the shard does not answer in time.
    async fn release(&self, shard: u32, part: Part) -> Option<Released> {
        let (done, released) = oneshot::channel();
        let limit = self.options.request_timeout;
        self.shards.ask_shard(shard, Message::Release(part, done), limit).await.ok()?;
        tokio::time::timeout(limit, released).await.ok()?.ok()
    }
}
