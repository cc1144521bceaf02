//! The one task of a cache: once a second it has the shards remove what has expired, and looks for a hot one.

use super::actor::{Message, ShardReply};
use super::hot::Watch;
use super::shard::CacheShard;
use super::shared::Shared;
use evenfold_groups::{ActorGroup, Missing};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long expired entries may take up memory when nothing changes, and what a hot shard is hot within.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    pub(super) group: ActorGroup<CacheShard>,
    pub(super) shared: Arc<Shared>,
    pub(super) id: String,
    pub(super) ending: CancellationToken,
}

impl Keeper {
    pub(super) async fn run(self) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch::default();
        while self.ending.run_until_cancelled(interval.tick()).await.is_some() {
            // Whoever has changed the number of shards may have left before it was known.
            self.shared.budget.divide(self.group.shards());
            self.look(&mut watch);
            if self.ending.run_until_cancelled(self.sweep()).await.is_none() {
                return;
            }
        }
    }

    fn look(&self, watch: &mut Watch) {
        let found = watch.next(self.shared.load.by_shard(self.group.shards()));
        let mut hot = self.shared.hot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = found
            && hot.is_none_or(|hot| hot.shard != found.shard)
        {
            let (shard, percent) = (found.shard, found.share * 100.0);
            tracing::warn!(cache = self.id, shard, "a shard is hot: it has {percent:.0} % of all reads and changes");
        }
        *hot = found;
    }

    /// Each message removes some; the changes that wait come in between.
    async fn sweep(&self) {
        let both = |done, reply| done && !matches!(reply, ShardReply::Swept(false));
        let ask = || self.group.ask_all(|_| Message::Sweep, true, both, INTERVAL, Missing::Partial);
        // An error means that the group has ended.
        while ask().await.is_ok_and(|swept| !swept.value) {}
    }
}
