//! A cache in shards: reads neither queue nor lock, and each shard's actor serialises its changes.

mod answer;
mod error;
mod options;
mod stats;
mod value;

pub use answer::{Condition, Counted, Found, Put, Stored};
pub use error::CacheError;
pub use options::{CacheOptions, CacheOptionsError, MAX_KEY_BYTES, MAX_SHARDS, MAX_TTL, MIN_MEMORY_BUDGET, MIN_TTL};
pub use stats::{Hot, ShardHealth, ShardStats, Stats};
pub use value::{Json, NotJson, Number, Value};
