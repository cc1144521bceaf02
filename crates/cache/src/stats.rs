//! The statistics of a cache.

use std::time::Duration;

/// Whether a shard's actor answers, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardHealth {
    /// The shard, from 0.
    pub shard: u32,
    /// Whether its actor answered before the deadline.
    pub answers: bool,
    /// How many messages wait for it.
    pub depth: usize,
    /// How many entries it has; 0 if it did not answer.
    pub entries: u64,
    /// How many bytes of the budget they take up; 0 if it did not answer.
    pub bytes: u64,
}

/// Counters since the start, and what is there now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stats {
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none; those of expired entries among them.
    pub misses: u64,
    /// Entries that were removed because their time was over.
    pub expired: u64,
    /// Entries that were removed to make room.
    pub evicted: u64,
    /// Entries that are there, expired ones that have not been removed yet among them.
    pub entries: u64,
    /// What they take up, in bytes: at most the budget.
    pub bytes: u64,
    /// What they may take up, in bytes.
    pub budget: u64,
    /// Each shard, from 0.
    pub shards: Vec<ShardStats>,
    /// Whether more shards are made where one is hot: [`auto_shards`](super::CacheOptions::auto_shards).
    pub auto_shards: bool,
    /// How often that was done.
    pub auto_shards_changes: u64,
    /// The reads and changes of the busiest shard as a multiple of the mean, in the last ten seconds, or since the
    /// number of shards changed if that is less: 1 is even. None where the mean is less than 4,096, of which little can
    /// be known, since reads are sampled.
    pub imbalance: Option<f64>,
    /// The shards that are hot, which most have none of: with more than twice the mean of the reads and changes of the
    /// same time (of two shards, more than three quarters), of 4,096 at least, or with an actor that was at work for
    /// more than five seconds of it.
    pub hot: Vec<Hot>,
}

/// One shard's part.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShardStats {
    /// The shard, from 0.
    pub shard: u32,
    /// Its reads and changes per second, in the last ten seconds, or since the number of shards changed if that is
    /// less. Reads are sampled: the figure is a multiple of 6.4. None in the first second.
    pub per_second: Option<f64>,
    /// How many messages wait for its actor.
    pub depth: usize,
    /// How many messages its actor has handled.
    pub handled: u64,
    /// How long that took.
    pub busy: Duration,
    /// How often its actor has panicked.
    pub panics: u64,
}

/// A hot shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hot {
    /// The shard, from 0.
    pub shard: u32,
    /// Its part of all reads and changes, from 0 to 1.
    pub share: f64,
    /// The key that has more than half of its reads and changes; none where it is hot because of many keys, which more
    /// shards would divide.
    pub key: Option<HotKey>,
}

/// The key that makes a shard hot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HotKey {
    /// The 64-bit FNV-1a of its bytes.
    pub hash: u64,
    /// Its reads and changes per second, as far as samples show it.
    pub per_second: f64,
}
