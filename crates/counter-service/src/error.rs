//! Why a request was not answered with a value.

use serde::{Deserialize, Serialize};

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ServiceError {
    /// As much waits for the counter's shard as may: nothing has happened.
    #[error("as many requests wait for the counter's shard as may; try again in a moment")]
    Busy,
    /// The counter's shard has no owner that answers, or its owner has no database: nothing has happened.
    #[error("the counter can't be reached now ({0}); nothing was counted; try again in a moment")]
    Unavailable(String),
    /// There was no answer in time. The increment is counted, or will be, or it is not.
    #[error(
        "whether it was counted is not known ({0}); with an Idempotency-Key the request can be repeated until it is answered"
    )]
    TimedOut(String),
    /// The value would not fit into 64 bits: nothing has happened.
    #[error("the value {value} plus {amount} does not fit into 64 bits")]
    Overflow {
        /// The counter's value.
        value: i64,
        /// The increment.
        amount: i64,
    },
    /// The idempotency key was used for another counter or another amount, or its UUID is the id of an event that is no
    /// increment: nothing has happened.
    #[error(
        "the idempotency key was used for something else, or for an increment that was erased since; give every increment a key of its own"
    )]
    KeyReused,
    /// The log has an event of this counter that can't be applied: nothing has happened.
    #[error("an event of this counter can't be applied ({0}); `evenfold parked list` shows more, and what can be done")]
    Parked(String),
    /// A node that keeps counters in memory only has as many as it may: nothing has happened.
    #[error("as many counters are in memory as may be; raise --max-actors, or start the service without --volatile")]
    Full,
    /// A node that keeps counters in memory only does not remember keys: nothing has happened.
    #[error("counters that are kept in memory only have no idempotency keys; leave the key out")]
    KeysNeedTheLog,
    /// The node is stopping, or has stopped: nothing has happened.
    #[error("the service is stopping; try another node, or again in a moment")]
    Stopped,
}
