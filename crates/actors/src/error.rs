//! What goes wrong with actors, each in a sentence.

use super::key::MAX_KEY;
use evenfold_groups::GroupOptionsError;

/// Why a request has no reply. [`may_have_been_handled`](Self::may_have_been_handled) says whether asking again could
/// do it twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody was there in time who could handle it.
    #[error("the request was not handled in time: {0}; ask again later")]
    Unavailable(String),
    /// Too many messages wait.
    #[error("too many messages wait for the actor: ask again later")]
    Busy,
    /// There are as many actors as there may be.
    #[error("the node has as many actors as it may: raise max_actors, or add nodes")]
    Full,
    /// The state could not be loaded.
    #[error("the actor's state could not be loaded: {0}")]
    NotLoaded(String),
    /// It can't be sent: it is too large, for one.
    #[error("the request can't be sent: {0}")]
    NotSent(String),
    /// The other node can't read it.
    #[error("the actor's node does not know this message, or reads it otherwise: bring all nodes to one version")]
    OtherVersion,
    /// No actor has such a key.
    #[error("the key of an actor has 1 to {MAX_KEY} bytes, and this one has {0}")]
    Key(usize),
    /// This node has left.
    #[error("this node has left the cluster")]
    Left,
    /// The actor has panicked, or has ended with its node.
    #[error("the actor failed at this message, or before it had replied: it may have been handled in part")]
    Failed,
    /// There is no reply.
    #[error("the request may have been handled, and there is no reply: {0}")]
    Unanswered(String),
    /// It was handled.
    #[error("the request was handled, and its reply can't be sent: {0}")]
    ReplyLost(String),
}

impl RequestError {
    /// Whether the message may have been handled, or may be yet. Otherwise asking again can't do it twice.
    #[must_use]
    pub fn may_have_been_handled(&self) -> bool {
        matches!(self, Self::Failed | Self::Unanswered(_) | Self::ReplyLost(_))
    }
}

/// Why there are no actors of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActorsError {
    /// It can't be called that.
    #[error("{0:?} can't be a kind of actors: choose one of 1 to 64 letters, digits, _ and -")]
    Kind(String),
    /// The node has them already.
    #[error("this node has actors of the kind {0} already: clone what it has given for them")]
    Twice(String),
    /// Two messages can not be distinguished by other nodes.
    #[error("two messages are called {0}: give one of them another Message::name()")]
    SameName(&'static str),
    /// The node has left, or is leaving.
    #[error("this node has left the cluster")]
    Left,
    /// A number is out of its limits.
    #[error(transparent)]
    Options(#[from] GroupOptionsError),
}
