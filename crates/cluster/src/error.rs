//! What goes wrong between nodes: one sentence each.

use super::NodeId;
use super::transport::{RequestError, Unreachable};
use std::time::Duration;

/// Why a node can't join. It is no member then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The transport can't be reached.
    #[error("the cluster can't be reached: {0}")]
    Unreachable(#[from] Unreachable),
    /// Another process with this name lives.
    #[error("the node {0} runs already: give this one another name, or stop the other first")]
    AlreadyRunning(NodeId),
    /// The cluster has another number of shards.
    #[error(
        "the node {node} has {theirs} shards, and this one {ours}: all nodes of a cluster need the same number, so start this one with {theirs}"
    )]
    OtherShards {
        /// Who has.
        node: NodeId,
        /// How many that one has.
        theirs: u32,
        /// How many this one has.
        ours: u32,
    },
    /// Options that contradict each other.
    #[error(
        "a node is dead after at least 3 heartbeats, so {dead_after:?} is too short for heartbeats of {heartbeat:?}: make it longer, or the interval shorter"
    )]
    Times {
        /// The interval of heartbeats.
        heartbeat: Duration,
        /// The silence after which a node is dead.
        dead_after: Duration,
    },
}

/// Why there is no answer from a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It was certainly not handled: asking again can't do it twice.
    #[error(transparent)]
    NotSent(NotSent),
    /// It may have been handled, or may be yet.
    #[error("the node {node} may have handled the request, and has not answered: {reason}")]
    Unanswered {
        /// Who was asked.
        node: NodeId,
        /// Why there is no answer.
        reason: String,
    },
}

/// Why a request was certainly not handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// No node of this name answers.
    #[error("there is no node {0}: look at the members again")]
    NoSuchNode(NodeId),
    /// The node, or the queue for it, has too many requests: ask again later.
    #[error("the node {0} has too many requests: ask again later")]
    Busy(NodeId),
    /// The time was over before it was sent.
    #[error("the request waited too long for being sent to the node {0}: ask again later")]
    TooLate(NodeId),
    /// It is larger than a frame may be.
    #[error("a request of {bytes} bytes is too large: {max} is the most, so split it")]
    TooLarge {
        /// How many bytes it has.
        bytes: usize,
        /// How many are possible.
        max: usize,
    },
    /// The other one can't read it.
    #[error("the node {0} runs another version and can't read the request: bring both to one version")]
    Unreadable(NodeId),
    /// The other one has not read this node's record yet, or it is another process's.
    #[error("the node {0} does not know this one: ask again in a moment")]
    Stranger(NodeId),
    /// The transport can't send it.
    #[error("the request was not sent: {0}")]
    Unreachable(String),
    /// This node has left.
    #[error("this node has left the cluster")]
    Left,
}

impl PeerError {
    pub(super) fn of(node: &NodeId, error: RequestError) -> Self {
        match error {
            RequestError::NoSuchNode(node) => Self::NotSent(NotSent::NoSuchNode(node)),
            RequestError::TooLarge { bytes, max } => Self::NotSent(NotSent::TooLarge { bytes, max }),
            RequestError::NotSent(reason) => Self::NotSent(NotSent::Unreachable(reason)),
            RequestError::Unanswered(reason) => Self::unanswered(node, reason),
        }
    }

    pub(super) fn unanswered(node: &NodeId, reason: impl Into<String>) -> Self {
        Self::Unanswered { node: node.clone(), reason: reason.into() }
    }
}

/// Why a node is a member no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It has left.
    #[error("this node has left the cluster")]
    Left,
    /// Another process has taken its name, while this one could not show that it lived.
    #[error(
        "another process runs as node {0}, and this one was silent for too long: give each a name of its own, or start this one again"
    )]
    Superseded(NodeId),
    /// One of its tasks has panicked.
    #[error("this node has failed, which is a mistake in the program: {0}")]
    Failed(String),
}
