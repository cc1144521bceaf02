//! The log as a shard uses it.

use super::command::CounterValue;
use super::id::{AGGREGATE_TYPE, CounterId};
use evenfold::counter::AmountPointer;
use evenfold::counters::{current, top};
use evenfold::database::{Database, describe};
use evenfold::event::{NewEvent, RecordedEvent};
use evenfold::log::{
    self, AppendError, Appended, Appender, AppenderOptions, Epoch, Epochs, GroupCommits, Sentinel, Sizes,
};
use sqlx::PgConnection;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// How many connections load counters. They are idle while the counters that are used are in memory.
const LOADING: usize = 4;

const LOST: &str = "the connection to the database was lost";

/// The log, for all shards of a node: two connections append, and some more read.
pub(super) struct Log {
    /// How the calls of its appenders were grouped.
    sizes: Arc<Sizes>,
    sentinel: Sentinel,
    database: Database,
    plain: Database,
    pointer: AmountPointer,
    places: Semaphore,
    sessions: Mutex<Option<Arc<Sessions>>>,
    closed: AtomicBool,
}

/// The connections of one epoch.
pub(super) struct Sessions {
    pub(super) epoch: Epoch,
    appender: Appender,
    idle: Mutex<Vec<PgConnection>>,
}

/// What was read back.
pub(super) struct Loaded {
    /// What the counters stand at, in the order in which they were asked for; or why that is not known.
    pub(super) counters: Vec<Result<CounterValue, String>>,
    /// The events of the ids.
    pub(super) events: Vec<Option<RecordedEvent>>,
}

impl Log {
    pub(super) fn new(database: &Database, pointer: AmountPointer) -> Self {
        Self {
            sizes: Arc::default(),
            sentinel: Sentinel::start(database),
            database: database.named("evenfold counters").by_index(),
            plain: database.named("evenfold counters"),
            pointer,
            places: Semaphore::new(LOADING),
            sessions: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Which of the values that were read before are still good.
    pub(super) fn epochs(&self) -> &Arc<Epochs> {
        self.sentinel.epochs()
    }

    /// Those of the present epoch; waits for one while the database is away. None once the log is closed.
    pub(super) async fn sessions(&self) -> Option<Arc<Sessions>> {
        let epoch = self.epochs().present().await;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at with the lock, under which it is closed: no appender is made after that.
        if self.closed.load(Ordering::SeqCst) {
            return None;
        }
        match &*sessions {
            Some(present) if present.epoch.number() == epoch.number() => Some(Arc::clone(present)),
            _ => {
                let (sizes, options) = (Arc::clone(&self.sizes), AppenderOptions::default());
                let appender = Appender::of_epoch(&self.plain, options, epoch.clone(), sizes);
                let new = Arc::new(Sessions { epoch, appender, idle: Mutex::default() });
                Some(Arc::clone(sessions.insert(new)))
            }
        }
    }

    /// Reads counters and events back; an error is a sentence. A connection is kept only if all went well: one that
    /// failed, or whose read was dropped, is closed.
    pub(super) async fn load(
        &self,
        sessions: &Sessions,
        counters: &[CounterId],
        events: &[Uuid],
    ) -> Result<Loaded, String> {
        let load = async {
            // The semaphore is never closed.
            let _place = self.places.acquire().await;
            let idle = sessions.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut conn = match idle {
                Some(conn) => conn,
                None => sessions.epoch.connect(&self.database).await?,
            };
            let loaded = self.read(&mut conn, counters, events).await.map_err(|error| describe(&error))?;
            sessions.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            Ok(loaded)
        };
        sessions.within(load).await
    }

    /// The counters of the highest values that the read model has, and what the others have at most, none if there are
    /// no others; an error is a sentence.
    pub(super) async fn top(&self, limit: usize) -> Result<(Vec<(CounterId, i64)>, Option<i64>), String> {
        let sessions = self.sessions().await.ok_or("the node is stopping")?;
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let read = async {
            let _place = self.places.acquire().await;
            // Not one of those that go by an index: this reads the whole table.
            let mut conn = sessions.epoch.connect(&self.plain).await?;
            top(self.database.schema(), &mut conn, Some(AGGREGATE_TYPE), limit).await.map_err(|error| describe(&error))
        };
        let rows = sessions.within(read).await?;
        let others = if rows.len() < limit as usize { None } else { rows.last().map(|row| row.value) };
        // A counter that another writer has given a longer name can't be asked for.
        let named = rows.into_iter().filter_map(|row| Some((CounterId::new(&row.aggregate_id).ok()?, row.value)));
        Ok((named.collect(), others))
    }

    async fn read(
        &self,
        conn: &mut PgConnection,
        counters: &[CounterId],
        events: &[Uuid],
    ) -> Result<Loaded, sqlx::Error> {
        let mut loaded = Loaded { counters: Vec::new(), events: Vec::new() };
        // The events first: one that is not in the log yet, and is by the second read, is in its counter, whose next
        // event then finds its id taken. The other way round it would be found, and not be in the counter.
        if !events.is_empty() {
            loaded.events = log::find(self.database.schema(), conn, events).await?;
        }
        if !counters.is_empty() {
            let ids: Vec<_> = counters.iter().map(CounterId::as_str).collect();
            let counters = current(self.database.schema(), conn, &self.pointer, AGGREGATE_TYPE, &ids).await?;
            let counted = counters.into_iter().map(|counter| {
                let counter = counter.map_err(|refused| refused.to_string())?;
                Ok(CounterValue { value: counter.value, version: counter.version.get() })
            });
            loaded.counters = counted.collect();
        }
        Ok(loaded)
    }

    pub(super) fn commits(&self) -> GroupCommits {
        self.sizes.commits()
    }

    /// Appends what was called for, and closes all connections.
    pub(super) async fn close(&self) {
        let sessions = {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            self.closed.store(true, Ordering::SeqCst);
            sessions.take()
        };
        if let Some(sessions) = sessions {
            sessions.appender.clone().close().await;
        }
        self.sentinel.close().await;
    }
}

impl Sessions {
    pub(super) async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, AppendError> {
        let lost = || AppendError::Unanswered(LOST.to_owned());
        let append = self.epoch.ended().run_until_cancelled(self.appender.append(events));
        append.await.unwrap_or_else(|| Err(lost()))
    }

    /// Waits for what is done through these connections no longer than they are of use: on one whose server is gone
    /// without a word nothing comes for a long time.
    async fn within<T>(&self, done: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        self.epoch.ended().run_until_cancelled(done).await.unwrap_or_else(|| Err(LOST.to_owned()))
    }
}
