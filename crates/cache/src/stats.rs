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
    /// The messages handled by the busiest shard as a multiple of the mean, since the number of shards changed last, or
    /// since the start: 1 is even. None while nothing was handled since then.
    pub imbalance: Option<f64>,
    /// The shard that had more than twice the mean of the last second's reads and changes, if one had.
    pub hot: Option<Hot>,
}

/// One shard's part.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShardStats {
    /// The shard, from 0.
    pub shard: u32,
    /// How many messages wait for its actor.
    pub depth: usize,
    /// How many messages its actor has handled.
    pub handled: u64,
    /// How long that took.
    pub busy: Duration,
    /// How often its actor has panicked.
    pub panics: u64,
}

/// The hottest shard of the last second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hot {
    /// The shard, from 0.
    pub shard: u32,
    /// Its part of all reads and changes, from 0 to 1.
    pub share: f64,
}
