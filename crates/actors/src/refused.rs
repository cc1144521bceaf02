//! Why an actor's node has not replied.

use super::error::RequestError;
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
    /// There was no reply in time.
    Late,
}

/// What one attempt has led to.
pub(super) enum Attempt<R> {
    Ended(Result<R, RequestError>),
    /// Nothing has happened: it can be tried again.
    Nothing(RequestError),
    /// It may have been handled.
    Maybe(RequestError),
}

impl<R> Attempt<R> {
    pub(super) fn refused(why: Refused) -> Self {
        let unavailable = |why: &str| Self::Nothing(RequestError::Unavailable(why.to_owned()));
        match why {
            Refused::NotOwner => unavailable("the actor's shard has no sure owner just now"),
            Refused::Stopped => unavailable("the actor's node is leaving"),
            Refused::UnknownKind => unavailable("the actor's node has no actors of this kind yet"),
            Refused::Busy => Self::Nothing(RequestError::Busy),
            Refused::Full => Self::Nothing(RequestError::Full),
            Refused::NotLoaded(why) => Self::Nothing(RequestError::NotLoaded(why)),
            Refused::UnknownMessage | Refused::Unreadable => Self::Ended(Err(RequestError::OtherVersion)),
            Refused::Failed => Self::Maybe(RequestError::Failed),
            Refused::ReplyLost(why) => Self::Ended(Err(RequestError::ReplyLost(why))),
            Refused::Late => Self::Maybe(RequestError::Unanswered("the actor has not replied in time".to_owned())),
        }
    }
}
