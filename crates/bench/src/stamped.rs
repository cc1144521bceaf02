//! The counters, with a note of when each event was committed to them.

use evenfold::counters::Counters;
use evenfold::log::Interest;
use evenfold::projection::{Batch, BoxError, Projection};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// When the event at each position was visible in the read model at the latest.
#[derive(Debug, Clone, Default)]
pub(super) struct Stamps(Arc<Mutex<HashMap<i64, Instant>>>);

impl Stamps {
    pub(super) fn of(&self, position: i64) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&position).copied()
    }

    fn put(&self, positions: impl Iterator<Item = i64>) {
        let now = Instant::now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(positions.map(|position| (position, now)));
    }
}

/// Does what the counters do, and stamps what is committed.
pub(super) struct Stamped {
    pub(super) counters: Counters,
    pub(super) stamps: Stamps,
    /// Applied, not committed.
    pub(super) pending: Vec<i64>,
}

impl Projection for Stamped {
    fn name(&self) -> &str {
        self.counters.name()
    }

    fn interest(&self) -> Interest {
        self.counters.interest()
    }

    fn settings(&self) -> String {
        self.counters.settings()
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        self.pending.extend(batch.events().map(|event| event.position.get()));
        self.counters.apply(conn, batch).await
    }

    fn committed(&mut self) {
        self.stamps.put(self.pending.drain(..));
        self.counters.committed();
    }

    fn forget(&mut self) {
        self.pending.clear();
        self.counters.forget();
    }
}
