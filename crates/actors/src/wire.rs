//! What nodes ask each other.

use super::key::RequestKey;
use super::refused::Refused;
use evenfold_cluster::sharding::{Claimed, Part, Released};
use serde::{Deserialize, Serialize};

/// About the actors of one kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) kind: String,
    pub(super) what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum What {
    /// To the owner of the actor's shard.
    Request(Request),
    /// The asker sees that these shards are its own.
    Claim { shards: Vec<u32> },
    /// For a part of what the node has of a shard.
    Release { shard: u32, part: Part },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) key: String,
    /// What the message is called, and its bytes.
    pub(super) name: String,
    pub(super) message: Vec<u8>,
    pub(super) once: Option<RequestKey>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum NodeReply {
    Reply(Result<Vec<u8>, Refused>),
    Claimed(Vec<Claimed>),
    Released(Released<Vec<MovedActor>>),
    /// The node can't answer that now.
    Refused,
}

/// An actor on its way to another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MovedActor {
    pub(super) key: String,
    /// Encoded; none where it lives elsewhere, or there is none.
    pub(super) state: Option<Vec<u8>>,
    pub(super) answered: Vec<(RequestKey, Vec<u8>)>,
}

impl MovedActor {
    pub(super) fn bytes(&self) -> usize {
        self.key.len()
            + self.state.as_ref().map_or(0, Vec::len)
            + self.answered.iter().map(|(_, reply)| 20 + reply.len()).sum::<usize>()
    }
}
