//! What can be set, and the limits that can't.

use evenfold_groups::{GroupOptionsError, MAX_MAILBOX, MAX_SHARDS};
use std::num::NonZeroUsize;
use std::time::Duration;

/// A key may have this many bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// The shortest time to live.
pub const MIN_TTL: Duration = Duration::from_millis(1);

/// The longest time to live: 10 years of 365 days.
pub const MAX_TTL: Duration = Duration::from_hours(10 * 365 * 24);

/// Whether it is within these limits.
pub(super) fn is_ttl(time: Duration) -> bool {
    (MIN_TTL..=MAX_TTL).contains(&time)
}

/// The smallest memory budget, in bytes.
pub const MIN_MEMORY_BUDGET: u64 = 1024 * 1024;

/// No value may be allowed more bytes than this: 1 GiB.
pub const MAX_ITEM_BYTES: usize = 1024 * 1024 * 1024;

/// How a cache is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheOptions {
    /// What it is called in logs and metrics.
    pub id: String,
    /// How many shards the keys are divided among: 1 to [`MAX_SHARDS`].
    pub shards: u32,
    /// Whether more shards are made where one is hot because of changes of many keys: twice as many at a time, at most
    /// once a minute, and never fewer. See [`max_shards`](Self::max_shards).
    pub auto_shards: bool,
    /// How many shards are made in that way at most: 1 to [`MAX_SHARDS`]; four times [`shards`](Self::shards) if none.
    /// There are also no more made than leave each a share of the budget in which four of the largest values have room.
    /// It is no limit of what [`resize`](super::Cache::resize) is asked for.
    pub max_shards: Option<u32>,
    /// How many bytes the entries may take up together, with everything that is kept about them: at least
    /// [`MIN_MEMORY_BUDGET`]. Each shard has an equal share.
    pub memory_budget_bytes: u64,
    /// How many bytes one value may have, as it is [counted](super::Value::len): 1 to [`MAX_ITEM_BYTES`].
    pub max_item_bytes: usize,
    /// How many changes may wait at one shard: 1 to [`MAX_MAILBOX`]. Further ones are refused with
    /// [`Busy`](super::CacheError::Busy).
    pub max_shard_mailbox: usize,
    /// How long a change waits for its answer before it fails with [`TimedOut`](super::CacheError::TimedOut). At
    /// least 1 ms.
    pub request_timeout: Duration,
    /// Values of more bytes than this are kept compressed (LZ4), if that makes them smaller by an eighth: less memory
    /// for slower reads of them. None are where it is none.
    pub compress_above_bytes: Option<usize>,
}

impl CacheOptions {
    /// The same with this [`id`](Self::id).
    #[must_use]
    pub fn id(self, id: String) -> Self {
        Self { id, ..self }
    }

    /// The same with this [`shards`](Self::shards).
    #[must_use]
    pub fn shards(self, shards: u32) -> Self {
        Self { shards, ..self }
    }

    /// The same with this [`auto_shards`](Self::auto_shards).
    #[must_use]
    pub fn auto_shards(self, auto_shards: bool) -> Self {
        Self { auto_shards, ..self }
    }

    /// The same with this [`max_shards`](Self::max_shards).
    #[must_use]
    pub fn max_shards(self, max_shards: Option<u32>) -> Self {
        Self { max_shards, ..self }
    }

    /// The same with this [`memory_budget_bytes`](Self::memory_budget_bytes).
    #[must_use]
    pub fn memory_budget_bytes(self, memory_budget_bytes: u64) -> Self {
        Self { memory_budget_bytes, ..self }
    }

    /// The same with this [`max_item_bytes`](Self::max_item_bytes).
    #[must_use]
    pub fn max_item_bytes(self, max_item_bytes: usize) -> Self {
        Self { max_item_bytes, ..self }
    }

    /// The same with this [`max_shard_mailbox`](Self::max_shard_mailbox).
    #[must_use]
    pub fn max_shard_mailbox(self, max_shard_mailbox: usize) -> Self {
        Self { max_shard_mailbox, ..self }
    }

    /// The same with this [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub fn request_timeout(self, request_timeout: Duration) -> Self {
        Self { request_timeout, ..self }
    }

    /// The same with this [`compress_above_bytes`](Self::compress_above_bytes).
    #[must_use]
    pub fn compress_above_bytes(self, compress_above_bytes: Option<usize>) -> Self {
        Self { compress_above_bytes, ..self }
    }
}

impl Default for CacheOptions {
    /// Called `cache`, as many shards as processors and up to four times as many where one is hot, 256 MiB, values of 1
    /// MiB, 1,024 changes waiting per shard for 2 seconds, and no compression.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            id: "cache".to_owned(),
            shards: u32::try_from(processors).unwrap_or(MAX_SHARDS).min(MAX_SHARDS),
            auto_shards: true,
            max_shards: None,
            memory_budget_bytes: 256 * 1024 * 1024,
            max_item_bytes: 1024 * 1024,
            max_shard_mailbox: 1024,
            request_timeout: Duration::from_secs(2),
            compress_above_bytes: None,
        }
    }
}

/// Options that no cache can have: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CacheOptionsError(String);

impl From<GroupOptionsError> for CacheOptionsError {
    fn from(error: GroupOptionsError) -> Self {
        Self(error.to_string())
    }
}

impl CacheOptions {
    /// Whether each option is within its limits.
    ///
    /// # Errors
    ///
    /// [`CacheOptionsError`] about the first that is not.
    pub fn check(&self) -> Result<(), CacheOptionsError> {
        let wrong = if !(1..=MAX_SHARDS).contains(&self.shards) {
            format!("a cache has 1 to {MAX_SHARDS} shards, not {}", self.shards)
        } else if let Some(max) = self.max_shards.filter(|max| !(1..=MAX_SHARDS).contains(max)) {
            format!("a cache may make 1 to {MAX_SHARDS} shards, not {max}")
        } else if self.memory_budget_bytes < MIN_MEMORY_BUDGET {
            format!("the memory budget must be at least {MIN_MEMORY_BUDGET} bytes, not {}", self.memory_budget_bytes)
        } else if !(1..=MAX_ITEM_BYTES).contains(&self.max_item_bytes) {
            format!("a value must be allowed 1 to {MAX_ITEM_BYTES} bytes, not {}", self.max_item_bytes)
        } else if !(1..=MAX_MAILBOX).contains(&self.max_shard_mailbox) {
            format!("1 to {MAX_MAILBOX} changes may wait per shard, not {}", self.max_shard_mailbox)
        } else if self.request_timeout < Duration::from_millis(1) {
            "a change must be allowed to wait for its answer for at least 1 ms".to_owned()
        } else {
            return Ok(());
        };
        Err(CacheOptionsError(wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_outside_their_limits_are_refused_and_those_at_them_are_not() {
        let fine = CacheOptions { shards: 1, memory_budget_bytes: MIN_MEMORY_BUDGET, ..CacheOptions::default() };
        let fine = CacheOptions { max_item_bytes: 1, max_shard_mailbox: 1, request_timeout: MIN_TTL, ..fine };
        assert_eq!(fine.check(), Ok(()));
        assert_eq!(CacheOptions { shards: MAX_SHARDS, ..fine.clone() }.check(), Ok(()));
        let wrong = [
            CacheOptions { shards: 0, ..fine.clone() },
            CacheOptions { shards: MAX_SHARDS + 1, ..fine.clone() },
            CacheOptions { max_shards: Some(0), ..fine.clone() },
            CacheOptions { max_shards: Some(MAX_SHARDS + 1), ..fine.clone() },
            CacheOptions { memory_budget_bytes: MIN_MEMORY_BUDGET - 1, ..fine.clone() },
            CacheOptions { max_item_bytes: 0, ..fine.clone() },
            CacheOptions { max_item_bytes: MAX_ITEM_BYTES + 1, ..fine.clone() },
            CacheOptions { max_shard_mailbox: 0, ..fine.clone() },
            CacheOptions { max_shard_mailbox: MAX_MAILBOX + 1, ..fine.clone() },
            CacheOptions { request_timeout: Duration::ZERO, ..fine },
        ];
        for options in wrong {
            assert!(options.check().is_err(), "{options:?}");
        }
    }
}
