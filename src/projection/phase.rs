//! What a worker is doing.

use crate::checkpoint::{RETRYING, SUPERSEDED};
use std::fmt;

/// What a worker is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Reading its checkpoint.
    Starting,
    /// Applying events.
    Applying,
    /// Everything that was committed is applied.
    CaughtUp,
    /// Another worker has this partition.
    StandingBy,
    /// The projection has gone on with another number of partitions: which. This worker may take over later.
    Superseded(u32),
    /// Something failed, and is tried again: why.
    Retrying(String),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Applying => f.write_str("applying"),
            Self::CaughtUp => f.write_str("caught up"),
            Self::StandingBy => f.write_str("standing by"),
            Self::Superseded(by) => write!(f, "{SUPERSEDED} by {by} partitions, waiting"),
            Self::Retrying(why) => write!(f, "{RETRYING}{why}"),
        }
    }
}

impl Phase {
    /// Its name, as figures have it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Applying => "applying",
            Self::CaughtUp => "caught_up",
            Self::StandingBy => "standing_by",
            Self::Superseded(_) => "superseded",
            Self::Retrying(_) => "retrying",
        }
    }
}
