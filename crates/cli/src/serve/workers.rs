//! The workers inside the service: they fold what it appends, and notify those who watch.

use crate::config::UsageError;
use crate::telemetry;
use crate::tuning::Topology;
use evenfold::class::Class;
use evenfold::counter::AmountPointer;
use evenfold::counters::{Changes, Counters};
use evenfold::projection::{PoolWorker, Process, RunError, RunOptions, Worker, WorkerError, WorkerOptions};
use evenfold_counter_service::{changes_group, subscribers};
use evenfold_groups::{MAX_SHARDS, ProcessGroups};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The service appends by hundreds of events, and has other uses for its memory than large transactions.
const BATCH_SIZE: usize = 20_000;

/// The answers do not wait for the read model, and whoever watches a counter can wait for a tenth of a second. Workers
/// that apply every few events at once take as much of the database as appending them does.
const REST: Duration = Duration::from_millis(100);

/// Two batches of them.
const MAX_ACTORS: usize = 2 * BATCH_SIZE;

pub(super) struct Workers {
    pub(super) members: Vec<PoolWorker>,
    process: Process,
    stop: CancellationToken,
    watching: JoinHandle<()>,
}

impl Workers {
    /// Whether one process can have as many workers.
    pub(super) fn check(topology: &Topology) -> Result<(), UsageError> {
        if topology.total_partitions <= MAX_SHARDS {
            return Ok(());
        }
        Err(UsageError(format!(
            "one process has at most {MAX_SHARDS} partitions: lower --total-partitions, or fold the log elsewhere (--no-workers)"
        )))
    }

    /// Starts a worker for each partition. Where other processes have the same, they stand by.
    pub(super) fn start(
        process: &Process,
        topology: &Topology,
        groups: &ProcessGroups<Arc<Changes>>,
    ) -> anyhow::Result<Self> {
        let total = topology.total_partitions;
        let partitions: Result<Vec<Class>, _> = (0..total).map(|key| Class::partition(key, total)).collect();
        let (takeover, changes) = (topology.takeover(), subscribers(changes_group(groups)?));
        let make = move |class| {
            let counters = Counters::new(AmountPointer::default(), MAX_ACTORS).publishing(changes.clone());
            let options = WorkerOptions::default().batch_size(BATCH_SIZE).topology(takeover).links(telemetry::links());
            Worker::new(class, counters, options)
        };
        let stop = CancellationToken::new();
        let mut pool = process.pool(&partitions?, make, &RunOptions::default().rest(REST), &stop)?;
        let members = pool.members().to_vec();
        let watching = tokio::spawn(async move {
            while let Some((partition, outcome)) = pool.ended().await {
                match outcome {
                    Ok(_) => {}
                    // Other processes fold what it had.
                    Err(error @ RunError::Worker(WorkerError::Superseded { .. })) => {
                        tracing::warn!(%partition, "this partition is not folded here any more: {error}");
                    }
                    // What is not folded is read from the log: only the read model stays behind.
                    Err(error) => tracing::error!(%partition, "this partition is not folded here any more: {error}"),
                }
            }
        });
        Ok(Self { members, process: process.clone(), stop, watching })
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        if self.watching.await.is_err() {
            tracing::error!("watching the workers has panicked");
        }
        self.process.close().await;
    }
}
