//! One node: where requests enter.

use super::command::{Call, Command, Counted, Outcome, Refused, What};
use super::durable::{Common, Durable};
use super::error::ServiceError;
use super::id::CounterId;
use super::key::IdempotencyKey;
use super::meters::{Meter, Meters, NodeMetrics};
use super::options::{NodeOptions, StartError, Storage};
use super::ownership::Ownership;
use super::shard::{CounterShard, Message};
use super::storage::Log;
use super::volatile::Volatile;
use super::watch::Watching;
use crate::counter::AmountPointer;
use crate::group::process::{Group, GroupError, JoinOptions, Slow};
use crate::group::{ActorGroup, GatherError, GroupOptions, Missing, ProcessGroups, TellError, top};
use crate::hash::KeyHash;
use crate::projection::counters::{Changes, changes_group};
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// A watcher that has this many changes waiting for it is given no more of them, and reads the counter anew.
const WATCHERS_QUEUE: usize = 64;

/// A node of the counter service. Clones are the same node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    options: NodeOptions,
    /// None where counters are kept in memory only.
    log: Option<Arc<Common>>,
    shards: ActorGroup<CounterShard>,
    changes: Group<Arc<Changes>>,
    meters: Arc<Meters>,
}

impl Node {
    /// Starts a node by itself. Whoever watches a counter is told through the group of [`changes_group`] in these groups: give
    /// them to the workers of the log too.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    ///
    /// # Cancel safety
    ///
    /// A node whose start is dropped has never been.
    pub async fn start(
        options: NodeOptions,
        storage: Storage,
        groups: &ProcessGroups<Arc<Changes>>,
    ) -> Result<Self, StartError> {
        let changes = changes_group(groups)?;
        let meters = Arc::new(Meters::new(options.shards));
        let each = (options.max_actors / options.shards.max(1) as usize).max(1);
        let group = GroupOptions {
            id: "counters".to_owned(),
            shards: options.shards,
            mailbox: options.max_waiting,
            ..GroupOptions::default()
        };
        let log = match storage {
            Storage::Volatile => None,
            Storage::Durable(database) => Some(Arc::new(Common {
                log: Log::new(&database, AmountPointer::default()),
                ownership: Arc::new(Ownership::all(options.shards)),
                meters: Arc::clone(&meters),
                max_waiting: options.max_waiting,
                request_timeout: options.request_timeout,
                group: OnceLock::new(),
            })),
        };
        let parts = (changes.clone(), Arc::clone(&meters), log.clone());
        let shard = move |shard| match parts.clone() {
            (_, _, Some(log)) => CounterShard::Durable(Durable::new(shard, each, log)),
            (changes, meters, None) => CounterShard::Volatile(Volatile::new(shard, each, changes, meters)),
        };
        let shards = ActorGroup::start(group, shard).await?;
        if let Some(log) = &log {
            // Nobody else sets it.
            let _set = log.group.set(shards.downgrade());
        }
        Ok(Self { inner: Arc::new(Inner { options, log, shards, changes, meters }) })
    }

    /// Adds to a counter, and gives what it stands at by that. With a key, repeating the request changes nothing and gives
    /// the same answer, at any node of the cluster, for ever.
    ///
    /// # Errors
    ///
    /// [`ServiceError`]; nothing was counted, except perhaps after [`ServiceError::TimedOut`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the increment is counted, or will be, or it is not.
    pub async fn increment(
        &self,
        id: &CounterId,
        amount: i64,
        key: Option<IdempotencyKey>,
    ) -> Result<Counted, ServiceError> {
        if key.is_some() && self.inner.log.is_none() {
            return Err(ServiceError::KeysNeedTheLog);
        }
        let event_id = key.map_or_else(Uuid::now_v7, IdempotencyKey::event_id);
        let what = What::Increment { amount, event_id, again: false };
        self.ask(Command { id: id.clone(), what }).await
    }

    /// What a counter stands at: all increments that were answered before are in it. One that nobody has incremented stands at
    /// 0.
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    ///
    /// # Cancel safety
    ///
    /// A read that is dropped changes nothing.
    pub async fn get(&self, id: &CounterId) -> Result<Counted, ServiceError> {
        self.ask(Command { id: id.clone(), what: What::Read }).await
    }

    /// The counters of the highest values, and so many of them: the highest first, and of equal ones the name that comes
    /// first.
    ///
    /// # Errors
    ///
    /// [`ServiceError`]; a list without some of the shards is none.
    ///
    /// # Cancel safety
    ///
    /// A read that is dropped changes nothing.
    pub async fn top(&self, limit: usize) -> Result<Vec<(CounterId, i64)>, ServiceError> {
        let timeout = self.inner.options.request_timeout;
        let message = |_| Message::Top(limit);
        let gathered = self.inner.shards.ask_all(message, Vec::new(), top(limit), timeout, Missing::Fail).await;
        let ranked = gathered.map_err(|error| match error {
            GatherError::Missing { .. } => ServiceError::Unavailable(error.to_string()),
            GatherError::Stopped => ServiceError::Stopped,
        })?;
        Ok(ranked.value.into_iter().map(|ranked| (ranked.id.0, ranked.value)).collect())
    }

    /// Whether requests can be answered now; or why not, in a sentence.
    ///
    /// # Errors
    ///
    /// The sentence.
    pub fn is_ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// What it has done until now.
    #[must_use]
    pub fn metrics(&self) -> NodeMetrics {
        let Inner { shards, meters, log, .. } = &*self.inner;
        NodeMetrics {
            node: String::new(),
            actors: shards.metrics(),
            counters: meters.counters.iter().map(Meter::get).collect(),
            handled: meters.handled.get(),
            passivations: meters.passivated.get(),
            loads: meters.loaded.get(),
            conflicts: meters.conflicts.get(),
            commits: log.as_ref().map(|common| common.log.commits()).unwrap_or_default(),
            forwarded: meters.forwarded.get(),
            coordination: meters.coordination.spent(),
            compute: meters.compute.spent(),
            members: 1,
            batched: 0,
            batches: 0,
        }
    }

    /// Watches a counter.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Busy`] when as many watch as may.
    pub fn watch(&self, id: &CounterId) -> Result<Watching, ServiceError> {
        let options = JoinOptions { queue: WATCHERS_QUEUE, slow: Slow::DropOldest };
        let member = self.inner.changes.join(&Uuid::new_v4().to_string(), options).map_err(|error| match error {
            GroupError::TooManyMembers(_) => ServiceError::Busy,
            _ => ServiceError::Stopped,
        })?;
        Ok(Watching::new(self.clone(), id.clone(), member))
    }

    /// Accepts nothing more, and ends when all that was accepted is answered.
    ///
    /// # Cancel safety
    ///
    /// A node whose stop is dropped stops nevertheless.
    pub async fn stop(&self) {
        self.inner.shards.stop().await;
        if let Some(common) = &self.inner.log {
            common.log.close().await;
        }
    }

    async fn ask(&self, command: Command) -> Result<Counted, ServiceError> {
        let deadline = Instant::now() + self.inner.options.request_timeout;
        match self.inner.here(command, deadline).await {
            Ok(counted) => Ok(counted),
            Err(Refused::Error(error)) => Err(error),
            Err(Refused::NotOwner) => Err(ServiceError::Unavailable("no node answers for it".to_owned())),
        }
    }
}

impl Inner {
    /// Has a shard of this node handle a command.
    async fn here(&self, command: Command, deadline: Instant) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let key = KeyHash::from(command.id.as_str());
        self.shards.try_tell(key, Message::Call(Call { command, answer })).map_err(|refused| match refused {
            TellError::Full(_) => ServiceError::Busy,
            TellError::Stopped(_) => ServiceError::Stopped,
        })?;
        match timeout_at(deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ServiceError::TimedOut("its shard failed".to_owned()).into()),
            Err(_) => Err(ServiceError::TimedOut("its shard has not answered in time".to_owned()).into()),
        }
    }
}
