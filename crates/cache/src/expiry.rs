//! When an entry ends.

use super::entry::NEVER;
use std::time::{Duration, SystemTime};

/// How long a value is there, unless it is evicted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// For ever.
    #[default]
    Never,
    /// For so long, from when it is put: [`MIN_TTL`](super::MIN_TTL) to [`MAX_TTL`](super::MAX_TTL).
    After(Duration),
    /// Until this moment, which is as far away. If the machine's clock is set later, it stays as far away as it was.
    At(SystemTime),
}

/// A time to live, or none.
impl From<Option<Duration>> for Expiry {
    fn from(ttl: Option<Duration>) -> Self {
        ttl.map_or(Self::Never, Self::After)
    }
}

/// The end of an entry that is to be put.
#[derive(Debug, Clone, Copy)]
pub(super) enum EntryEnd {
    /// So long after it is put.
    After(Duration),
    /// At this moment of the cache's clock.
    At(u64),
}

impl EntryEnd {
    pub(super) const NEVER: Self = Self::At(NEVER);
}
