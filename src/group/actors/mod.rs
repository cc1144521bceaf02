//! Data parallelism: a key belongs to one of N shards, and each shard is owned by one actor.

mod shard;

pub use shard::Shard;
