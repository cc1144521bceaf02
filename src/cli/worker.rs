use super::session::Session;
use super::{Global, signals};
use clap::Args;
use evenfold::checkpoint::Takeover;
use evenfold::class::{Class, MAX_PARTITIONS};
use evenfold::config::{UsageError, number};
use evenfold::counter::AmountPointer;
use evenfold::projection::counters::Counters;
use evenfold::projection::{self, RunOptions, Worker, WorkerOptions};
use std::time::Duration;

/// An hour: longer is a mistake of units.
const MAX_MS: u64 = 3_600_000;

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// Which partition: 0, 1, … up to one less than the total
    #[arg(long, env = "PARTITION_KEY", value_name = "KEY",
        value_parser = |t: &str| number::<u32>(t, &(0..=MAX_PARTITIONS - 1)))]
    partition_key: Option<u32>,
    /// Exit when nothing is left to apply
    #[arg(long)]
    until_caught_up: bool,
    #[command(flatten)]
    tuning: Tuning,
}

/// How workers work: the same for one worker and for many.
#[derive(Debug, Clone, Args)]
pub(super) struct Tuning {
    /// How many partitions there are: 1 to 65536
    #[arg(long, env = "TOTAL_PARTITIONS", default_value = "4", value_name = "N",
        value_parser = |t: &str| number::<u32>(t, &(1..=MAX_PARTITIONS)))]
    pub(super) total_partitions: u32,
    /// Where a payload has the integer that counts (RFC 6901); an event without one counts 1
    #[arg(long, env = "EVENFOLD_AMOUNT_POINTER", default_value = "/amount", value_name = "POINTER")]
    pub(super) amount_pointer: AmountPointer,
    /// The most events of one transaction: 1 to 100000
    #[arg(long, env = "EVENFOLD_BATCH_SIZE", default_value = "20000", value_name = "EVENTS",
        value_parser = |t: &str| number::<usize>(t, &(1..=100_000)))]
    batch_size: usize,
    /// The most counters in memory, at least twice the batch size; about 150 bytes each
    #[arg(long, env = "EVENFOLD_MAX_ACTORS", default_value = "100000", value_name = "COUNTERS",
        value_parser = |t: &str| number::<usize>(t, &(2..=100_000_000)))]
    max_actors: usize,
    /// The pause after finding nothing to apply, in milliseconds: 1 to 3600000
    #[arg(long, env = "EVENFOLD_POLL_INTERVAL_MS", default_value = "50", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(1..=MAX_MS)))]
    poll_interval_ms: u64,
    /// How long one batch may take before its connection is given up, in milliseconds: 1000 to 3600000
    #[arg(long, env = "EVENFOLD_DATABASE_TIMEOUT_MS", default_value = "60000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(1_000..=MAX_MS)))]
    database_timeout_ms: u64,
    /// The pause between two heartbeats, in milliseconds: 100 to 3600000
    #[arg(long, env = "EVENFOLD_HEARTBEAT_INTERVAL_MS", default_value = "2000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(100..=MAX_MS)))]
    heartbeat_interval_ms: u64,
    /// How long another worker's partition must not have moved before it is taken over, in milliseconds: 100 to 3600000
    #[arg(long, env = "EVENFOLD_TAKEOVER_AFTER_MS", default_value = "2000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(100..=MAX_MS)))]
    takeover_after_ms: u64,
    /// Take over at once with this number of partitions, although another one has replaced it
    #[arg(long)]
    takeover: bool,
    /// How long a number of partitions that was replaced must wait before it may take over again, in milliseconds: 0 to
    /// 86400000
    #[arg(long, env = "EVENFOLD_SUPERSEDED_GRACE_MS", default_value = "600000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(0..=86_400_000)))]
    superseded_grace_ms: u64,
}

impl Tuning {
    /// Checks what concerns more than one setting.
    pub(super) fn check(&self) -> Result<(), UsageError> {
        let Self { max_actors, batch_size, .. } = self;
        if *max_actors >= 2 * batch_size {
            return Ok(());
        }
        let wanted = "--max-actors must be at least twice --batch-size";
        Err(UsageError(format!("{wanted}, and {max_actors} is less than twice {batch_size}")))
    }

    /// A worker for a partition.
    pub(super) fn worker(&self, class: Class) -> Worker<Counters> {
        let grace = Duration::from_millis(self.superseded_grace_ms);
        let options = WorkerOptions {
            batch_size: self.batch_size,
            takeover_after: Duration::from_millis(self.takeover_after_ms),
            topology: if self.takeover { Takeover::Now } else { Takeover::After(grace) },
        };
        Worker::new(class, Counters::new(self.amount_pointer.clone(), self.max_actors), options)
    }

    pub(super) fn run_options(&self) -> RunOptions {
        RunOptions {
            until_caught_up: false,
            poll_interval: Duration::from_millis(self.poll_interval_ms),
            database_timeout: Duration::from_millis(self.database_timeout_ms),
            heartbeat_interval: Duration::from_millis(self.heartbeat_interval_ms),
        }
    }
}

pub(super) async fn run(global: &Global, args: WorkerArgs) -> anyhow::Result<()> {
    let total = args.tuning.total_partitions;
    let key = args.partition_key.ok_or_else(|| {
        UsageError(format!(
            "which partition? give --partition-key (or PARTITION_KEY), from 0 to {}, and start one worker for each",
            total - 1
        ))
    })?;
    let class = Class::partition(key, total)
        .map_err(|error| UsageError(format!("{error}: correct --partition-key or --total-partitions")))?;
    args.tuning.check()?;
    let worker = args.tuning.worker(class);
    let options = RunOptions { until_caught_up: args.until_caught_up, ..args.tuning.run_options() };
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    tracing::info!(partition = %class, batch_size = args.tuning.batch_size, "started");
    let outcome = projection::run(&session.database, worker, &options, shutdown).await;
    session.close().await?;
    let report = outcome?;
    tracing::info!(partition = %class, applied = report.applied, parked = report.parked, batches = report.batches,
        position = report.position, elapsed = format_args!("{:.1?}", report.elapsed),
        coordination = format_args!("{:.1?}", report.coordination), compute = format_args!("{:.1?}", report.compute),
        "stopped");
    Ok(())
}
