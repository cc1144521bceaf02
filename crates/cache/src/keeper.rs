//! The one task of a cache: once a second it has the shards remove what has expired, and looks for hot ones.

use super::actor::{Message, ShardReply};
use super::hot::{Lately, Logged};
use super::shard::CacheShard;
use super::shared::Shared;
use super::stats::{Hot, HotKey};
use super::window::{Tick, Window};
use evenfold_groups::{ActorGroup, Missing};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long expired entries may take up memory when nothing changes, and how old figures of load may be.
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
        let (mut window, mut logged) = (Window::default(), Logged::default());
        while self.ending.run_until_cancelled(interval.tick()).await.is_some() {
            // Whoever has changed the number of shards may have left before it was known.
            self.shared.budget.divide(self.group.shards());
            self.look(&mut window, &mut logged);
            if self.ending.run_until_cancelled(self.sweep()).await.is_none() {
                return;
            }
        }
    }

    fn look(&self, window: &mut Window, logged: &mut Logged) {
        let recent = window.add(Tick::now(&self.shared.load, &self.group.metrics()));
        let lately = Lately::of(&recent);
        for hot in logged.new_among(&lately.hot) {
            self.log(hot);
        }
        *self.shared.lately.lock().unwrap_or_else(PoisonError::into_inner) = lately;
    }

    fn log(&self, Hot { shard, share, key }: Hot) {
        let percent = share * 100.0;
        let Some(HotKey { hash, per_second }) = key else {
            let many = "a shard is hot because of many keys";
            tracing::warn!(cache = self.id, shard, "{many}: it has {percent:.0} % of all reads and changes");
            return;
        };
        let hash = format!("{hash:016x}");
        tracing::warn!(
            cache = self.id,
            shard,
            key_hash = hash,
            "a shard is hot because of one key: it has {percent:.0} % of all reads and changes, and most of these are of \
             the key with the FNV-1a hash {hash}, {per_second:.0} per second; more shards would not help"
        );
    }

    /// Each message removes some; the changes that wait come in between.
    async fn sweep(&self) {
        let both = |done, reply| done && !matches!(reply, ShardReply::Swept(false));
        let ask = || self.group.ask_all(|_| Message::Sweep, true, both, INTERVAL, Missing::Partial);
        // An error means that the group has ended.
        while ask().await.is_ok_and(|swept| !swept.value) {}
    }
}
