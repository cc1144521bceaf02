//! A projection of a log that others write.

use super::{AtOnce, Batch, BoxError, Projection};
use crate::checkpoint::CheckpointMove;
use crate::log::{Interest, Source};
use sqlx::PgConnection;

/// A projection that folds a log that others write, where there is one, instead of evenfold's own.
pub struct Sourced<P> {
    projection: P,
    source: Option<Source>,
}

impl<P: Projection> Sourced<P> {
    /// This projection, of this log.
    pub fn new(projection: P, source: Option<Source>) -> Self {
        Self { projection, source }
    }

    /// The projection itself.
    pub fn inner(&self) -> &P {
        &self.projection
    }
}

impl<P: Projection> Projection for Sourced<P> {
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
        self.source.as_ref()
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        self.projection.create(conn).await
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        self.projection.apply(conn, batch).await
    }

    fn may_apply_at_once(&self, events: usize) -> bool {
        self.projection.may_apply_at_once(events)
    }

    async fn apply_at_once(
        &mut self,
        conn: &mut PgConnection,
        batch: &mut Batch<'_>,
        to: CheckpointMove<'_>,
    ) -> Result<AtOnce, BoxError> {
        self.projection.apply_at_once(conn, batch, to).await
    }

    fn reads_views(&self) -> bool {
        self.projection.reads_views()
    }

    fn makes_views(&self) -> bool {
        self.projection.makes_views()
    }

    fn committed(&mut self) {
        self.projection.committed();
    }

    fn forget(&mut self) {
        self.projection.forget();
    }
}
