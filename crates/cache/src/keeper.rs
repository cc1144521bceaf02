//! The one task of a cache: once a second it has the shards remove what has expired, looks for hot ones, and makes more
//! shards where that helps.

use super::actor::{Message, ShardReply};
use super::hot::{Lately, Logged};
use super::relief::{Relief, Situation, relief};
use super::resizing::Resizing;
use super::shard::CacheShard;
use super::shared::Shared;
use super::stats::{Hot, HotKey};
use super::window::{Recent, Tick, Window};
use evenfold_groups::{ActorGroup, Missing};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long expired entries may take up memory when nothing changes, and how old figures of load may be.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    pub(super) group: ActorGroup<CacheShard>,
    pub(super) shared: Arc<Shared>,
    pub(super) resizing: Arc<Resizing>,
    /// How many shards it may make; none if it is not to change their number.
    pub(super) max_shards: Option<u32>,
    pub(super) id: String,
    pub(super) ending: CancellationToken,
}

impl Keeper {
    pub(super) async fn run(self) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut window, mut logged) = (Window::default(), Logged::default());
        while self.ending.run_until_cancelled(interval.tick()).await.is_some() {
            self.shared.view.clock().follow(SystemTime::now());
            self.resizing.settle();
            if let Some(relief) = self.look(&mut window, &mut logged)
                && self.ending.run_until_cancelled(self.relieve(relief)).await.is_none()
            {
                return;
            }
            if self.ending.run_until_cancelled(self.sweep()).await.is_none() {
                return;
            }
        }
    }

    /// Looks at the load, and gives how many shards there should be instead, if more would help.
    fn look(&self, window: &mut Window, logged: &mut Logged) -> Option<Relief> {
        let recent = window.add(Tick::now(&self.shared.load, &self.group.metrics()));
        let lately = Lately::of(&recent);
        for hot in logged.new_among(&lately.hot) {
            self.log(hot);
        }
        *self.shared.lately.lock().unwrap_or_else(PoisonError::into_inner) = lately;
        let one_key = |shard| recent.most_changed(shard).is_some();
        let Recent { time, shards, since_change, .. } = &recent;
        let (time, since_change, max_shards) = (*time, *since_change, self.max_shards?);
        relief(&Situation { shards, time, one_key: &one_key, max_shards, since_change })
    }

    async fn relieve(&self, Relief { from, to, shard, share, busy }: Relief) {
        // Somebody else may change it meanwhile, who knows better.
        let Some(resized) = self.resizing.resize_from(from, to).await else { return };
        let (cache, changes, time) = (&self.id, share * 100.0, busy * 100.0);
        match resized {
            Ok(()) => {
                self.shared.relieved.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    cache,
                    from,
                    to,
                    shard,
                    "there are {to} shards instead of {from}, because shard {shard} was hot: it had {changes:.0} % of all \
                     changes in ten seconds, of many keys, and its actor was at work for {time:.0} % of the time"
                );
            }
            Err(error) => tracing::warn!(cache, from, to, shard, %error, "there should be more shards"),
        }
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
             the key with the FNV-1a hash {hash}, {per_second:.0} per second, which stays in one shard"
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
