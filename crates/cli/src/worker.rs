use super::done::Done;
use super::output::print_json;
use super::session::Session;
use super::{Global, signals};
use crate::config::{UsageError, number};
use clap::Args;
use evenfold::checkpoint::Takeover;
use evenfold::class::{Class, MAX_PARTITIONS};
use evenfold::counter::AmountPointer;
use evenfold::projection::counters::{Counters, NAME};
use evenfold::projection::{self, CHUNK, Replica, Report, RunOptions, Worker, WorkerOptions};
use std::str::FromStr;
use std::time::Duration;

/// An hour: longer is a mistake of units.
const MAX_MS: u64 = 3_600_000;

#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Which partition: 0, 1, … up to one less than the total; auto: one that no other replica has; from-hostname: the
    /// number at the end of the host name
    #[arg(long, env = "PARTITION_KEY", value_name = "KEY")]
    partition_key: Option<Key>,
    /// How long a replica that chose its partition itself keeps it without a sign of life, in milliseconds: 1000 to
    /// 3600000
    #[arg(long, env = "EVENFOLD_LEASE_TERM_MS", default_value = "10000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(1_000..=MAX_MS)))]
    lease_term_ms: u64,
    /// Exit when nothing is left to apply
    #[arg(long)]
    until_caught_up: bool,
    /// At the end, print what was done as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    partitions: Topology,
    #[command(flatten)]
    tuning: Tuning,
}

/// How a worker knows its partition.
#[derive(Debug, Clone, Copy)]
enum Key {
    Given(u32),
    Auto,
    FromHostname,
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "from-hostname" => Ok(Self::FromHostname),
            _ => number(text, &(0..=MAX_PARTITIONS - 1))
                .map(Self::Given)
                .map_err(|wanted| format!("{wanted}, or auto, or from-hostname")),
        }
    }
}

/// The ordinal of a pod of a StatefulSet: its host name is the set's, a dash, and the ordinal.
fn ordinal(hostname: &str) -> Result<u32, UsageError> {
    let ordinal = hostname.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok());
    ordinal.ok_or_else(|| {
        UsageError(format!(
            "the host name {hostname} does not end in a dash and a number: give --partition-key a number"
        ))
    })
}

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

/// How workers work: the same for one worker and for many.
#[derive(Debug, Clone, Args)]
pub struct Tuning {
    /// Where a payload has the integer that counts (RFC 6901); an event without one counts 1
    #[arg(long, env = "EVENFOLD_AMOUNT_POINTER", default_value = "/amount", value_name = "POINTER")]
    pub amount_pointer: AmountPointer,
    /// The most events of one transaction, which has as many only while the worker is far behind: 1 to 1000000
    #[arg(long, env = "EVENFOLD_BATCH_SIZE", default_value = "500000", value_name = "EVENTS",
        value_parser = |t: &str| number::<usize>(t, &(1..=1_000_000)))]
    batch_size: usize,
    /// The most counters in memory, at least twice the batch size or 40000; about 150 bytes each
    #[arg(long, env = "EVENFOLD_MAX_ACTORS", default_value = "100000", value_name = "COUNTERS",
        value_parser = |t: &str| number::<usize>(t, &(2..=100_000_000)))]
    max_actors: usize,
    /// The longest pause after finding nothing to apply, in milliseconds: 1 to 3600000
    #[arg(long, env = "EVENFOLD_POLL_INTERVAL_MS", default_value = "50", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(1..=MAX_MS)))]
    poll_interval_ms: u64,
    /// How long one batch may take before its connection is given up, in milliseconds: 1000 to 3600000
    #[arg(long, env = "EVENFOLD_DATABASE_TIMEOUT_MS", default_value = "60000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(1_000..=MAX_MS)))]
    database_timeout_ms: u64,
    /// The pause between two heartbeats, in milliseconds: 100 to 5000
    #[arg(long, env = "EVENFOLD_HEARTBEAT_INTERVAL_MS", default_value = "2000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(100..=5_000)))]
    heartbeat_interval_ms: u64,
    /// How long another worker's partition must not have moved before it is taken over, in milliseconds: 100 to 3600000
    #[arg(long, env = "EVENFOLD_TAKEOVER_AFTER_MS", default_value = "2000", value_name = "MS",
        value_parser = |t: &str| number::<u64>(t, &(100..=MAX_MS)))]
    takeover_after_ms: u64,
}

impl Tuning {
    /// Checks what concerns more than one setting.
    pub fn check(&self) -> Result<(), UsageError> {
        let Self { max_actors, batch_size, .. } = self;
        // The counters of the events that are read at once must fit into memory together.
        let needed = 2 * batch_size.min(&CHUNK);
        if *max_actors >= needed {
            return Ok(());
        }
        let wanted = "--max-actors must be at least twice --batch-size, or";
        Err(UsageError(format!("{wanted} {} for large batches, and {max_actors} is below {needed}", 2 * CHUNK)))
    }

    /// A worker for a partition.
    #[must_use]
    pub fn worker(&self, class: Class, topology: Takeover) -> Worker<Counters> {
        Worker::new(class, self.counters(), self.worker_options(topology))
    }

    /// What the worker folds.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters::new(self.amount_pointer.clone(), self.max_actors)
    }

    #[must_use]
    pub fn worker_options(&self, topology: Takeover) -> WorkerOptions {
        WorkerOptions {
            batch_size: self.batch_size,
            takeover_after: Duration::from_millis(self.takeover_after_ms),
            topology,
        }
    }

    /// The same settings as variables, for a worker that is a process of its own.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 7] {
        [
            ("EVENFOLD_AMOUNT_POINTER", self.amount_pointer.to_string()),
            ("EVENFOLD_BATCH_SIZE", self.batch_size.to_string()),
            ("EVENFOLD_MAX_ACTORS", self.max_actors.to_string()),
            ("EVENFOLD_POLL_INTERVAL_MS", self.poll_interval_ms.to_string()),
            ("EVENFOLD_DATABASE_TIMEOUT_MS", self.database_timeout_ms.to_string()),
            ("EVENFOLD_HEARTBEAT_INTERVAL_MS", self.heartbeat_interval_ms.to_string()),
            ("EVENFOLD_TAKEOVER_AFTER_MS", self.takeover_after_ms.to_string()),
        ]
    }

    #[must_use]
    pub fn run_options(&self) -> RunOptions {
        RunOptions {
            until_caught_up: false,
            poll_interval: Duration::from_millis(self.poll_interval_ms),
            database_timeout: Duration::from_millis(self.database_timeout_ms),
            heartbeat_interval: Duration::from_millis(self.heartbeat_interval_ms),
            ..RunOptions::default()
        }
    }
}

/// The partition that the arguments name; none if the worker is to choose one.
fn named_partition(key: Option<Key>, total: u32) -> Result<Option<Class>, UsageError> {
    let key = match key {
        Some(Key::Given(key)) => key,
        Some(Key::Auto) => return Ok(None),
        Some(Key::FromHostname) => {
            let name = nix::unistd::gethostname().map_err(|error| UsageError(format!("no host name: {error}")))?;
            ordinal(&name.to_string_lossy())?
        }
        None => {
            return Err(UsageError(format!(
                "which partition? give --partition-key (or PARTITION_KEY), from 0 to {}, and start one worker for \
                 each, or auto, and start as many as there are; `evenfold demo` shows all of it at work, and \
                 `evenfold --help` every command",
                total - 1
            )));
        }
    };
    let corrected = |error| UsageError(format!("{error}: correct --partition-key or --total-partitions"));
    Class::partition(key, total).map(Some).map_err(corrected)
}

pub async fn run(global: &Global, args: WorkerArgs) -> anyhow::Result<()> {
    let total = args.partitions.total_partitions;
    let class = named_partition(args.partition_key, total)?;
    args.tuning.check()?;
    let options = RunOptions { until_caught_up: args.until_caught_up, ..args.tuning.run_options() };
    let shutdown = signals::shutdown()?;
    let session = Session::open(global).await?;
    let partition = class.map_or("auto".to_owned(), |class| class.to_string());
    tracing::info!(%partition, total, batch_size = args.tuning.batch_size, "started");
    let make = |class| args.tuning.worker(class, args.partitions.takeover());
    let outcome = if let Some(class) = class {
        projection::run(&session.database, make(class), &options, shutdown).await
    } else {
        let lease_term = Duration::from_millis(args.lease_term_ms);
        let replica = Replica { projection: NAME.to_owned(), total_partitions: total, lease_term };
        projection::run_replica(&session.database, &replica, make, &options, &shutdown).await
    };
    session.close().await?;
    let report = outcome?;
    tracing::info!(
        %partition,
        applied = report.applied,
        parked = report.parked,
        batches = report.batches,
        position = last_position(&report),
        elapsed = format_args!("{:.1?}", report.elapsed),
        coordination = format_args!("{:.1?}", report.coordination),
        compute = format_args!("{:.1?}", report.compute),
        "stopped"
    );
    if args.json { print_json(&Done::of(&report)) } else { Ok(()) }
}

/// The position of the last event that was applied, if any was: what was applied before this run is in the database.
#[must_use]
pub fn last_position(report: &Report) -> Option<i64> {
    // Positions are counted from 1.
    Some(report.position).filter(|position| *position > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ordinal_is_the_number_at_the_end_of_the_host_name() {
        assert_eq!(ordinal("evenfold-worker-3").ok(), Some(3));
        assert_eq!(ordinal("w-0").ok(), Some(0));
        for name in ["worker", "worker-", "worker-a", "3"] {
            assert!(ordinal(name).is_err(), "{name}");
        }
    }
}
