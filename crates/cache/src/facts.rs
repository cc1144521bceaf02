//! The statistics of a cache, gathered from its shards.

use super::actor::{Message, ShardReply};
use super::{Cache, ShardHealth, ShardStats, Stats};
use futures_util::future::join_all;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Cache {
    /// Whether it accepts changes: not in maintenance.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.gate.is_open()
    }

    /// How many shards there are; none once it has been stopped.
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.inner.group.shards()
    }

    /// Asks each shard's actor, and waits for the answers up to this time.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn health(&self, deadline: Duration) -> Vec<ShardHealth> {
        let group = &self.inner.group;
        let asked = group.metrics().shards.into_iter().map(async |metrics| {
            let answer = group.ask_shard(metrics.shard, Message::Describe, deadline).await;
            let (answers, entries, bytes) = match answer {
                Ok(ShardReply::Described { entries, bytes }) => (true, entries, bytes),
                _ => (false, 0, 0),
            };
            ShardHealth { shard: metrics.shard, answers, depth: metrics.depth, entries, bytes }
        });
        join_all(asked).await
    }

    /// Counts since the start, and what is there now. It waits for nothing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        let group = self.inner.group.metrics();
        let lately = shared.lately.lock().unwrap_or_else(PoisonError::into_inner);
        // In the second after their number has changed, nothing is known about the shards that there are.
        let known = lately.per_second.len() == group.shards.len();
        Stats {
            hits: shared.load.hits(),
            misses: shared.load.misses(),
            expired: shared.expired.load(Ordering::Relaxed),
            evicted: shared.evicted.load(Ordering::Relaxed),
            entries: shared.view.len() as u64,
            bytes: shared.budget.used(),
            budget: shared.budget.limit(),
            auto_shards: self.inner.options.auto_shards,
            auto_shards_changes: shared.relieved.load(Ordering::Relaxed),
            imbalance: lately.imbalance.filter(|_| known),
            hot: if known { lately.hot.clone() } else { Vec::new() },
            shards: group
                .shards
                .into_iter()
                .map(|shard| ShardStats {
                    shard: shard.shard,
                    per_second: lately.per_second.get(shard.shard as usize).copied().filter(|_| known),
                    depth: shard.depth,
                    handled: shard.handled,
                    busy: shard.busy,
                    panics: shard.panics,
                })
                .collect(),
        }
    }
}
