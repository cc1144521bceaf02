//! A projection, with a note of when each event was committed to them.

use evenfold::log::{Interest, Source};
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

/// Does what a projection does, and stamps what is committed.
pub(super) struct Stamped<P> {
    pub(super) projection: P,
    pub(super) stamps: Stamps,
    /// Applied, not committed.
    pub(super) pending: Vec<i64>,
}

impl<P: Projection> Projection for Stamped<P> {
    fn name(&self) -> &str {
        self.projection.name()
    }

    fn interest(&self) -> Interest {
        self.projection.interest()
    }

    fn settings(&self) -> String {
        self.projection.settings()
    }

    fn source(&self) -> Option<&Source> {
        self.projection.source()
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        self.projection.create(conn).await
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        self.pending.extend(batch.events().map(|event| event.position.get()));
        self.projection.apply(conn, batch).await
    }

    fn committed(&mut self) {
        self.stamps.put(self.pending.drain(..));
        self.projection.committed();
    }

    fn forget(&mut self) {
        self.pending.clear();
        self.projection.forget();
    }
}
