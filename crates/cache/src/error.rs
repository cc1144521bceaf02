//! Why the cache has not done what was asked.

use super::options::{MAX_KEY_BYTES, MAX_TTL, MIN_TTL};
use evenfold_groups::{AskError, ResizeError};

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// As many changes wait at the key's shard as may; nothing was changed.
    #[error("the shard of this key has no room for another change, and nothing was changed; try again in a moment")]
    Busy,
    /// There was no answer in time: the change was accepted, and has been made or will be, or was lost.
    #[error("the change was not answered in time and may still be made; read the key to see whether it was")]
    TimedOut,
    /// The [`Condition`](super::Condition) does not hold; nothing was changed.
    #[error("{}", conflict(*current))]
    Conflict {
        /// The version of the key; none when it is absent.
        current: Option<u64>,
    },
    /// The value has more bytes than a value may; nothing was changed.
    #[error("the value has {bytes} bytes and may have {limit}; split it, or raise the limit of the cache")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// As many may be.
        limit: usize,
    },
    /// The key is empty.
    #[error("the key is empty; give one of 1 to {MAX_KEY_BYTES} bytes")]
    KeyEmpty,
    /// The key is too long.
    #[error("the key has {bytes} bytes; shorten it to {MAX_KEY_BYTES}")]
    KeyTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// The key has a control character.
    #[error("the key has the control character U+{:04X}; leave it out", u32::from(*character))]
    KeyNotAllowed {
        /// The first one.
        character: char,
    },
    /// The value that was to be counted up is not a whole number of 64 bits; nothing was changed.
    #[error("the key's value is not a whole number of 64 bits; put a number before counting")]
    NotANumber,
    /// The sum does not fit into 64 bits; nothing was changed.
    #[error("the sum does not fit into 64 bits; put a smaller number before counting on")]
    Overflow,
    /// The time to live, or the time until the moment that was given, is outside the limits.
    #[error("the value must expire in {} s to {} s from now, or never", MIN_TTL.as_secs_f64(), MAX_TTL.as_secs())]
    TtlOutOfRange,
    /// The cache is in maintenance: it answers reads and accepts no change.
    #[error("the cache is in maintenance and accepts no changes; try again later")]
    Maintenance,
    /// The change made its shard's actor panic, which is a bug. Whether it was made is not known; other keys are all
    /// right.
    #[error("the change made its shard panic, which is a bug; read the key to see whether it was made")]
    Panicked,
    /// The cache has been stopped.
    #[error("the cache has been stopped; start another")]
    Stopped,
    /// The entry does not fit into what its shard may have of the memory budget; nothing was changed.
    #[error(
        "the entry needs {bytes} bytes, and its shard may have {limit}; raise the memory budget or have fewer shards"
    )]
    NoRoom {
        /// What the entry would take up, with everything that is kept about it.
        bytes: u64,
        /// The shard's share of the budget.
        limit: u64,
    },
    /// The number of shards was not changed, or not properly.
    #[error("the number of shards: {0}")]
    Resize(ResizeError),
}

impl From<AskError> for CacheError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Full => Self::Busy,
            AskError::TimedOut => Self::TimedOut,
            AskError::Panicked => Self::Panicked,
            AskError::Stopped => Self::Stopped,
        }
    }
}

fn conflict(current: Option<u64>) -> String {
    match current {
        Some(version) => format!("the key has version {version}; read it and decide anew"),
        None => "the key is absent; put it without asking for a version".to_owned(),
    }
}
