//! Says once who has a worker's partition while it stands by, and once that it has taken the partition over.

use super::Step;
use crate::checkpoint;
use crate::class::Class;
use crate::database::Schema;
use sqlx::PgConnection;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Two workers with one key take turns where events are rare: what was reported of that is not reported again for so
/// long.
const REPORTED_FOR: Duration = Duration::from_mins(1);

/// The other worker with the same partition, if there is one.
#[derive(Debug)]
pub(super) struct Peer {
    schema: Schema,
    projection: String,
    partition: Class,
    worker: Uuid,
    looked: bool,
    standing_by: bool,
    /// Where the other one runs, while it is reported to have the partition.
    process: Option<String>,
    reported: Option<Instant>,
}

impl Peer {
    /// Of this worker.
    pub(super) fn of(schema: &Schema, worker: Uuid, projection: &str, partition: Class) -> Self {
        let (schema, projection) = (schema.clone(), projection.to_owned());
        Self { schema, projection, partition, worker, looked: false, standing_by: false, process: None, reported: None }
    }

    /// Looks once at the beginning, and whenever the worker begins to stand by.
    ///
    /// # Cancel safety
    ///
    /// Reads only; but close the connection.
    pub(super) async fn after(&mut self, step: Step, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let partition = self.partition;
        let stands_by = step == Step::StandingBy;
        let begins = stands_by && !std::mem::replace(&mut self.standing_by, stands_by);
        self.standing_by = stands_by;
        let first = !std::mem::replace(&mut self.looked, true);
        if matches!(step, Step::Applied(_))
            && let Some(process) = self.process.take()
        {
            tracing::warn!(%partition, "this worker has taken the partition over from {process}");
        } else if (first || begins) && self.reported.is_none_or(|reported| reported.elapsed() >= REPORTED_FOR) {
            let (total, key) = (partition.modulus(), Some(partition.residue()));
            let alive = checkpoint::alive(&self.schema, conn, &self.projection, total, key, Some(self.worker)).await?;
            if let Some(process) = alive.or_else(|| begins.then(|| "a worker without a heartbeat".to_owned())) {
                tracing::warn!(%partition, "{process} works on this partition: this worker stands by, and takes over when \
                    that one does not go on");
                (self.process, self.reported) = (Some(process), Some(Instant::now()));
            }
        }
        Ok(())
    }
}
