//! The log as a shard uses it.

use super::command::Counted;
use super::id::CounterId;
use super::shard::AGGREGATE_TYPE;
use crate::counter::AmountPointer;
use crate::database::{Database, told};
use crate::event::NewEvent;
use crate::log::{self, AppendError, Appended, Appender, AppenderOptions, Found, GroupCommits};
use crate::projection::counters::{current, top};
use sqlx::PgConnection;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// How many connections load counters. They are idle while the counters that are used are in memory.
const LOADING: usize = 4;

/// Appends through two connections, and reads through some more, for all shards of a node.
pub(super) struct Log {
    appender: Appender,
    database: Database,
    plain: Database,
    pointer: AmountPointer,
    places: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

/// What was read back.
pub(super) struct Loaded {
    /// What the counters stand at, in the order in which they were asked for; or why that is not known.
    pub(super) counters: Vec<Result<Counted, String>>,
    /// The events of the ids.
    pub(super) events: Vec<Option<Found>>,
}

impl Log {
    pub(super) fn new(database: &Database, pointer: AmountPointer) -> Self {
        Self {
            appender: Appender::start(database, AppenderOptions::default()),
            database: database.named("evenfold counters").by_index(),
            plain: database.named("evenfold counters"),
            pointer,
            places: Semaphore::new(LOADING),
            idle: Mutex::default(),
        }
    }

    pub(super) async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, AppendError> {
        self.appender.append(events).await
    }

    /// Reads counters and events back; an error is a sentence. A connection is kept only if all went well: one that failed, or
    /// whose read was dropped, is closed.
    pub(super) async fn load(&self, counters: &[CounterId], events: &[Uuid]) -> Result<Loaded, String> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut conn = match idle {
            Some(conn) => conn,
            None => self.database.connect().await.map_err(|error| error.to_string())?,
        };
        let loaded = self.read(&mut conn, counters, events).await.map_err(|error| told(&error))?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        Ok(loaded)
    }

    /// The counters of the highest values that the read model has, and what the others have at most, none if there are no
    /// others; an error is a sentence.
    pub(super) async fn top(&self, limit: usize) -> Result<(Vec<(CounterId, i64)>, Option<i64>), String> {
        let _place = self.places.acquire().await;
        // Not one of those that go by an index: this reads the whole table.
        let mut conn = self.plain.connect().await.map_err(|error| error.to_string())?;
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let rows = top(&mut conn, Some(AGGREGATE_TYPE), limit).await.map_err(|error| told(&error))?;
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
            loaded.events = log::find(conn, events).await?;
        }
        if !counters.is_empty() {
            let ids: Vec<_> = counters.iter().map(CounterId::as_str).collect();
            let counters = current(conn, &self.pointer, AGGREGATE_TYPE, &ids).await?;
            let counted = counters.into_iter().map(|counter| {
                let counter = counter.map_err(|refused| refused.to_string())?;
                Ok(Counted { value: counter.value, version: counter.version })
            });
            loaded.counters = counted.collect();
        }
        Ok(loaded)
    }

    pub(super) fn commits(&self) -> GroupCommits {
        self.appender.commits()
    }

    pub(super) async fn close(&self) {
        self.appender.clone().close().await;
    }
}
