//! How workers work: the settings that several commands have in common.

use super::telemetry;
use crate::config::{UsageError, number};
use clap::Args;
use evenfold::checkpoint::Takeover;
use evenfold::class::{Class, MAX_PARTITIONS};
use evenfold::counter::AmountPointer;
use evenfold::counters::Counters;
use evenfold::projection::{CHUNK, RunOptions, Worker, WorkerOptions};
use std::time::Duration;

/// An hour: longer is a mistake of units.
pub(crate) const MAX_MS: u64 = 3_600_000;

/// How many partitions, and whose word counts when workers differ about it.
#[derive(Debug, Clone, Args)]
pub struct Topology {
    /// How many partitions there are: 1 to 65536
    #[arg(long, env = "TOTAL_PARTITIONS", default_value = "4", value_name = "N",
        value_parser = |t: &str| number::<u32>(t, &(1..=MAX_PARTITIONS)))]
    pub total_partitions: u32,
    /// Take over at once with this number of partitions, although another one has replaced it
    #[arg(long)]
    pub takeover: bool,
    /// How long a number of partitions that was replaced waits, while a worker of the present one is alive, before it
    /// may take over again, in milliseconds: 0 to 86400000
    #[arg(long, env = "EVENFOLD_SUPERSEDED_GRACE_MS", default_value = "600000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(0..=86_400_000)))]
    superseded_grace_ms: u64,
}

impl Topology {
    #[must_use]
    pub fn takeover(&self) -> Takeover {
        if self.takeover { Takeover::Now } else { Takeover::After(Duration::from_millis(self.superseded_grace_ms)) }
    }
}

/// The settings of a worker, whatever it folds.
#[derive(Debug, Clone, Args)]
pub struct WorkerSettings {
    /// The most events of one transaction, which has as many only while the worker is far behind: 1 to 1000000
    #[arg(long, env = "EVENFOLD_BATCH_SIZE", default_value = "500000", value_name = "EVENTS",
        value_parser = |t: &str| number::<usize>(t, &(1..=1_000_000)))]
    pub batch_size: usize,
    /// The longest pause after finding nothing to apply, in milliseconds: 1 to 3600000
    #[arg(long, env = "EVENFOLD_POLL_INTERVAL_MS", default_value = "50", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(1..=MAX_MS)))]
    poll_interval_ms: u64,
    /// How long one batch may take before its connection is closed, in milliseconds: 1000 to 3600000
    #[arg(long, env = "EVENFOLD_DATABASE_TIMEOUT_MS", default_value = "60000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(1_000..=MAX_MS)))]
    database_timeout_ms: u64,
    /// The pause between two heartbeats, in milliseconds: 100 to 2000
    #[arg(long, env = "EVENFOLD_HEARTBEAT_INTERVAL_MS", default_value = "2000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(100..=2_000)))]
    heartbeat_interval_ms: u64,
    /// How long another worker's partition must not have moved before it is taken over, in milliseconds: 100 to 3600000
    #[arg(long, env = "EVENFOLD_TAKEOVER_AFTER_MS", default_value = "2000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(100..=MAX_MS)))]
    takeover_after_ms: u64,
    /// Whether a worker's commits wait until they are on disk: a crash of the server takes none of them back then
    #[arg(long, env = "EVENFOLD_SYNCHRONOUS_COMMIT", default_value = "false", value_name = "BOOL",
        action = clap::ArgAction::Set)]
    synchronous_commit: bool,
}

impl WorkerSettings {
    #[must_use]
    pub fn worker_options(&self, topology: Takeover) -> WorkerOptions {
        WorkerOptions::default()
            .batch_size(self.batch_size)
            .takeover_after(Duration::from_millis(self.takeover_after_ms))
            .topology(topology)
            .links(telemetry::links())
    }

    #[must_use]
    pub fn run_options(&self) -> RunOptions {
        RunOptions::default()
            .poll_interval(Duration::from_millis(self.poll_interval_ms))
            .database_timeout(Duration::from_millis(self.database_timeout_ms))
            .heartbeat_interval(Duration::from_millis(self.heartbeat_interval_ms))
            .synchronous_commit(self.synchronous_commit)
    }
}

/// The settings of the counters.
#[derive(Debug, Clone, Args)]
pub struct CounterSettings {
    /// Where a payload has the integer that counts (RFC 6901); an event without one counts 1
    #[arg(long, env = "EVENFOLD_AMOUNT_POINTER", default_value = "/amount", value_name = "POINTER")]
    pub amount_pointer: AmountPointer,
    /// The most counters in memory, at least twice the batch size or 40000; about 150 bytes each
    #[arg(long, env = "EVENFOLD_MAX_ACTORS", default_value = "100000", value_name = "COUNTERS",
        value_parser = |t: &str| number::<usize>(t, &(2..=100_000_000)))]
    max_actors: usize,
}

impl CounterSettings {
    /// Checks what concerns more than one setting.
    pub fn check(&self, batch_size: usize) -> Result<(), UsageError> {
        let max_actors = self.max_actors;
        // The counters of the events that are read at once must fit into memory together.
        let needed = 2 * batch_size.min(CHUNK);
        if max_actors >= needed {
            return Ok(());
        }
        let wanted = "--max-actors must be at least twice --batch-size, or";
        Err(UsageError(format!("{wanted} {} for large batches, and {max_actors} is below {needed}", 2 * CHUNK)))
    }

    /// The projection that has them.
    #[must_use]
    pub fn projection(&self) -> Counters {
        Counters::new(self.amount_pointer.clone(), self.max_actors)
    }
}

/// How workers of the counters work.
#[derive(Debug, Clone, Args)]
pub struct Tuning {
    #[command(flatten)]
    pub counters: CounterSettings,
    #[command(flatten)]
    workers: WorkerSettings,
}

impl Tuning {
    /// Checks what concerns more than one setting.
    pub fn check(&self) -> Result<(), UsageError> {
        self.counters.check(self.workers.batch_size)
    }

    /// A worker for a partition.
    #[must_use]
    pub fn worker(&self, class: Class, topology: Takeover) -> Worker<Counters> {
        Worker::new(class, self.counters.projection(), self.worker_options(topology))
    }

    #[must_use]
    pub fn worker_options(&self, topology: Takeover) -> WorkerOptions {
        self.workers.worker_options(topology)
    }

    #[must_use]
    pub fn run_options(&self) -> RunOptions {
        self.workers.run_options()
    }

    /// The same settings as variables, for a worker that is a process of its own.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 8] {
        let Self { counters, workers } = self;
        [
            ("EVENFOLD_AMOUNT_POINTER", counters.amount_pointer.to_string()),
            ("EVENFOLD_BATCH_SIZE", workers.batch_size.to_string()),
            ("EVENFOLD_MAX_ACTORS", counters.max_actors.to_string()),
            ("EVENFOLD_POLL_INTERVAL_MS", workers.poll_interval_ms.to_string()),
            ("EVENFOLD_DATABASE_TIMEOUT_MS", workers.database_timeout_ms.to_string()),
            ("EVENFOLD_HEARTBEAT_INTERVAL_MS", workers.heartbeat_interval_ms.to_string()),
            ("EVENFOLD_TAKEOVER_AFTER_MS", workers.takeover_after_ms.to_string()),
            ("EVENFOLD_SYNCHRONOUS_COMMIT", workers.synchronous_commit.to_string()),
        ]
    }
}
