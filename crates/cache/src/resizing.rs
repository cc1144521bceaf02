//! Changing the number of shards, whoever wants it.

use super::CacheError;
use super::shard::CacheShard;
use super::shared::Shared;
use evenfold_groups::{ActorGroup, ResizeError};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Of one cache.
pub(super) struct Resizing {
    group: ActorGroup<CacheShard>,
    shared: Arc<Shared>,
    /// One change at a time.
    alone: Mutex<()>,
}

impl Resizing {
    pub(super) fn new(group: ActorGroup<CacheShard>, shared: Arc<Shared>) -> Self {
        Self { group, shared, alone: Mutex::default() }
    }

    pub(super) async fn resize(&self, shards: u32) -> Result<(), CacheError> {
        let _alone = self.alone.lock().await;
        self.change(shards).await
    }

    /// The same, unless the number has changed since this was decided.
    pub(super) async fn resize_from(&self, from: u32, to: u32) -> Option<Result<(), CacheError>> {
        let _alone = self.alone.lock().await;
        if self.group.shards() == from { Some(self.change(to).await) } else { None }
    }

    async fn change(&self, shards: u32) -> Result<(), CacheError> {
        let resized = self.group.resize(shards).await;
        // Not before: the shards that are to give would have evicted what they give.
        self.shared.budget.divide(self.group.shards());
        match resized {
            Err(ResizeError::Stopped) => Err(CacheError::Stopped),
            other => other.map_err(CacheError::Resize),
        }
    }

    /// Divides the budget among the shards that there are, unless their number is just being changed: whoever has
    /// changed it may have left before it was known.
    pub(super) fn settle(&self) {
        if let Ok(_alone) = self.alone.try_lock() {
            self.shared.budget.divide(self.group.shards());
        }
    }
}
