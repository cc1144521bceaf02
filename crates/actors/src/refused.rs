//! Why an actor's node has not replied.

use super::error::RequestError;
use super::message::Message;
use serde::{Deserialize, Serialize};

/// Why there is no reply. It travels between nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// The actor's shard is another node's, or may be by now.
    NotOwner,
    /// Too many messages wait for the shard or the actor.
    Busy,
    /// There are as many actors as there may be.
    Full,
    /// The node has no actors of this kind yet.
    UnknownKind,
    /// Its actors have no such message.
    UnknownMessage,
    /// The message or the reply can't be read.
    Unreadable,
    /// The state could not be loaded.
    NotLoaded(String),
    /// The node is leaving.
    Stopped,
    /// The actor has panicked, or its node has been left, before it had replied.
    Failed,
    /// It was handled, and the reply can't be encoded.
    ReplyLost(String),
}

/// What one attempt has led to.
pub(super) enum Attempt<M: Message> {
    Ended(Result<M::Reply, RequestError>),
    /// Nothing has happened: the message can be sent again.
    Nothing(RequestError, M),
    /// It may have been handled.
    Maybe(RequestError, M),
}

impl<M: Message> Attempt<M> {
    pub(super) fn refused(why: Refused, message: M) -> Self {
        let unavailable = |why: &str| RequestError::Unavailable(why.to_owned());
        let nothing = match why {
            Refused::NotOwner => unavailable("the actor's shard has no sure owner just now"),
            Refused::Stopped => unavailable("the actor's node is leaving"),
            Refused::UnknownKind => unavailable("the actor's node has no actors of this kind yet"),
            Refused::Busy => RequestError::Busy,
            Refused::Full => RequestError::Full,
            Refused::NotLoaded(why) => RequestError::NotLoaded(why),
            Refused::UnknownMessage | Refused::Unreadable => return Self::Ended(Err(RequestError::OtherVersion)),
            // Another actor would fail at it as well.
            Refused::Failed => return Self::Ended(Err(RequestError::Failed)),
            Refused::ReplyLost(why) => return Self::Ended(Err(RequestError::ReplyLost(why))),
        };
        Self::Nothing(nothing, message)
    }
}
