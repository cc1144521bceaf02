//! A cache in shards: reads neither queue nor lock, and each shard's actor serialises its changes.

mod actor;
mod answer;
mod budget;
mod clock;
mod described;
mod entry;
mod error;
mod expiry;
mod facts;
mod gate;
mod ghosts;
mod hit;
mod hot;
pub mod http;
mod keeper;
mod key;
mod keys;
mod load;
mod many;
mod options;
mod order;
mod packed;
mod relief;
mod resizing;
mod shard;
mod shared;
mod stats;
#[cfg(test)]
mod tests;
mod value;
mod view;
mod window;

pub use answer::{CachedValue, Condition, Incremented, Put, Stored};
pub use described::Described;
pub use error::CacheError;
pub use expiry::Expiry;
pub use hit::Hit;
pub use options::{
    CacheOptions, CacheOptionsError, MAX_ITEM_BYTES, MAX_KEY_BYTES, MAX_TTL, MIN_MEMORY_BUDGET, MIN_TTL,
};
pub use stats::{Hot, HotKey, ShardHealth, ShardStats, Stats};
pub use value::{Json, NotJson, Number, Value};

pub use evenfold_groups::{MAX_MAILBOX, MAX_SHARDS};

use actor::{Message, ShardReply};
use evenfold_groups::KeyHash;
use evenfold_groups::{ActorGroup, AfterPanic, GroupOptions};
use expiry::EntryEnd;
use gate::{Gate, Pass};
use keeper::Keeper;
use key::CacheKey;
use options::is_ttl;
use packed::Kept;
use relief::most_shards;
use resizing::Resizing;
use shard::CacheShard;
use shared::Shared;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use view::Look;

/// A cache. Clones are the same cache, which ends when the last is dropped or one is [stopped](Self::stop).
///
/// For each key, it behaves as if all reads and changes were made one after another, each at some moment between its
/// call and its return: what was put is seen by every read that begins after that, in any thread. Entries go when their
/// time is over, and at any moment to make room for others.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    options: CacheOptions,
    group: ActorGroup<CacheShard>,
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    resizing: Arc<Resizing>,
    ending: CancellationToken,
    _ending: DropGuard,
}

impl Cache {
    /// Starts a cache: an actor per shard, and one task.
    ///
    /// # Errors
    ///
    /// [`CacheOptionsError`] for options outside their limits.
    ///
    /// # Cancel safety
    ///
    /// A cache whose start is dropped has never been.
    pub async fn start(options: CacheOptions) -> Result<Self, CacheOptionsError> {
        options.check()?;
        let shared = Arc::new(Shared::new(options.memory_budget_bytes, options.shards));
        let (id, mailbox) = (options.id.clone(), options.max_shard_mailbox);
        let group = GroupOptions::default()
            .id(id.clone())
            .shards(options.shards)
            .mailbox(mailbox)
            .after_panic(AfterPanic::Keep);
        let state = Arc::clone(&shared);
        let group = ActorGroup::start(group, move |shard| CacheShard::new(shard, Arc::clone(&state))).await?;
        let ending = CancellationToken::new();
        let resizing = Arc::new(Resizing::new(group.clone(), Arc::clone(&shared)));
        let keeper = Keeper {
            group: group.clone(),
            shared: Arc::clone(&shared),
            resizing: Arc::clone(&resizing),
            max_shards: options.auto_shards.then(|| most_shards(&options)),
            id,
            ending: ending.clone(),
        };
        let inner = Inner {
            options,
            group,
            shared,
            gate: Arc::default(),
            keeper: Mutex::new(Some(tokio::spawn(keeper.run()))),
            resizing,
            _ending: ending.clone().drop_guard(),
            ending,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The value of a key. It neither waits nor locks, in maintenance as well, and counts as a use.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<CachedValue> {
        self.find(key)?.open()
    }

    /// As [`get`](Self::get), without unpacking a compressed value: for whoever has to know before how much memory that
    /// takes.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Hit> {
        let Shared { view, load, budget, .. } = &*self.inner.shared;
        let found = match view.look(key) {
            Look::Found { kept, version, expires_in } => Some(Hit { kept, version, expires_in }),
            Look::Expired | Look::Absent => None,
        };
        if load.read(found.is_some()) {
            let key = KeyHash::from(key);
            load.sampled(key.shard(budget.shards()), key);
        }
        found
    }

    /// Puts a value, in the place of the one before and its end: for a time to live if one is given, or as an
    /// [`Expiry`] says.
    ///
    /// # Errors
    ///
    /// See [`CacheError`]. Nothing was changed, except maybe after [`TimedOut`](CacheError::TimedOut) and
    /// [`Panicked`](CacheError::Panicked).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the value has been put, or will be, or not.
    pub async fn put(
        &self,
        key: &str,
        value: Value,
        expiry: impl Into<Expiry>,
        condition: Condition,
    ) -> Result<Stored, CacheError> {
        let key = CacheKey::new(key)?;
        let (bytes, limit) = (value.len(), self.inner.options.max_item_bytes);
        if bytes > limit {
            return Err(CacheError::TooLarge { bytes, limit });
        }
        let ends = self.ends(expiry.into())?;
        let pass = self.enter()?;
        let kept = Kept::new(value, self.inner.options.compress_above_bytes);
        match self.ask(key.hash(), Message::Put { key, kept, ends, condition, pass }).await? {
            ShardReply::Put(outcome) => outcome,
            _ => Err(CacheError::Panicked),
        }
    }

    /// Deletes a key. Gives whether it was there.
    ///
    /// # Errors
    ///
    /// As for [`put`](Self::put).
    ///
    /// # Cancel safety
    ///
    /// As for [`put`](Self::put).
    pub async fn delete(&self, key: &str, condition: Condition) -> Result<bool, CacheError> {
        let key = CacheKey::new(key)?;
        let pass = self.enter()?;
        match self.ask(key.hash(), Message::Delete { key, condition, pass }).await? {
            ShardReply::Deleted(outcome) => outcome,
            _ => Err(CacheError::Panicked),
        }
    }

    /// Adds to a number, and leaves its time to live as it is. A key that is absent counts as 0 without one.
    ///
    /// # Errors
    ///
    /// As for [`put`](Self::put); [`NotANumber`](CacheError::NotANumber) and [`Overflow`](CacheError::Overflow).
    ///
    /// # Cancel safety
    ///
    /// As for [`put`](Self::put).
    pub async fn incr(&self, key: &str, delta: i64) -> Result<Incremented, CacheError> {
        let key = CacheKey::new(key)?;
        let pass = self.enter()?;
        match self.ask(key.hash(), Message::Incr { key, delta, pass }).await? {
            ShardReply::Incremented(outcome) => outcome,
            _ => Err(CacheError::Panicked),
        }
    }

    /// Changes the number of shards while reads and changes go on. About 1/n of the keys move for each shard that comes
    /// or goes; their entries stay where they are, so that no read misses one. The shares of the budget become others:
    /// a shard that has more than its share evicts. Where [`auto_shards`](CacheOptions::auto_shards) is on, more may be
    /// made after a minute, but there are never fewer than this.
    ///
    /// # Errors
    ///
    /// [`CacheError::Resize`], [`CacheError::Stopped`].
    ///
    /// # Cancel safety
    ///
    /// Once begun, it goes on when its wait is dropped.
    pub async fn resize(&self, shards: u32) -> Result<(), CacheError> {
        self.inner.resizing.resize(shards).await
    }

    /// Maintenance: refuses changes with [`Maintenance`](CacheError::Maintenance) from now on, and waits until those
    /// that were accepted have been made, or the cache is [resumed](Self::resume). Reads go on.
    ///
    /// # Cancel safety
    ///
    /// It stays in maintenance when the wait is dropped.
    pub async fn drain(&self) {
        self.inner.gate.close().await;
    }

    /// Ends the maintenance.
    pub fn resume(&self) {
        self.inner.gate.open();
    }

    /// Ends the cache for all clones: refuses further changes with [`Stopped`](CacheError::Stopped), and waits
    /// until those that were accepted have been made. What it has can be read as long as there are clones.
    ///
    /// # Cancel safety
    ///
    /// A cache whose stop is dropped stops nevertheless.
    pub async fn stop(self) {
        self.inner.ending.cancel();
        self.inner.group.stop().await;
        let keeper = self.inner.keeper.lock().await.take();
        if let Some(Err(panic)) = futures_util::future::OptionFuture::from(keeper).await {
            tracing::error!(cache = self.inner.options.id, %panic, "the cache's task panicked");
        }
    }

    fn ends(&self, expiry: Expiry) -> Result<EntryEnd, CacheError> {
        let ends = match expiry {
            Expiry::Never => Some(EntryEnd::NEVER),
            Expiry::After(ttl) => is_ttl(ttl).then_some(EntryEnd::After(ttl)),
            Expiry::At(moment) => self.inner.shared.view.clock().moment(moment).map(EntryEnd::At),
        };
        ends.ok_or(CacheError::TtlOutOfRange)
    }

    fn enter(&self) -> Result<Pass, CacheError> {
        self.inner.gate.enter().ok_or(CacheError::Maintenance)
    }

    async fn ask(&self, key: KeyHash, message: Message) -> Result<ShardReply, CacheError> {
        Ok(self.inner.group.try_ask(key, message, self.inner.options.request_timeout).await?)
    }
}
