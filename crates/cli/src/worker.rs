//! `worker`: one partition, of each of the projections.

use super::Global;
use super::done::{Done, last_position};
use super::ended::{Ended, each, failures};
#[cfg(feature = "monitor")]
use super::http::HttpArgs;
use super::output::print_json;
use super::projections::{Projections, ProjectionsArg};
use super::registry::On;
use super::session::Session;
use super::tuning::{MAX_MS, Topology, WorkerSettings};
use super::{signals, source, telemetry};
use crate::config::{UsageError, number};
use anyhow::bail;
use clap::Args;
use evenfold::class::{Class, MAX_PARTITIONS};
use evenfold::number::Position;
use evenfold::projection::{Process, Replica};
use serde::Serialize;
use std::str::FromStr;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
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
    /// At the end, print what was done as one JSON object for each projection
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    projections: ProjectionsArg,
    #[command(flatten)]
    partitions: Topology,
    #[command(flatten)]
    settings: WorkerSettings,
    #[cfg(feature = "monitor")]
    #[command(flatten)]
    http: HttpArgs,
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

/// The partition that the arguments name; none if the worker is to choose one.
fn named_partition(key: Option<Key>, total: u32, known: &Projections<'_>) -> Result<Option<Class>, UsageError> {
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
                 each, or auto, and start as many as there are; {}",
                total - 1,
                known.ways_on()
            )));
        }
    };
    let corrected = |error| UsageError(format!("{error}: correct --partition-key or --total-partitions"));
    Class::partition(key, total).map(Some).map_err(corrected)
}

pub(super) async fn run(global: &Global, args: WorkerArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let total = args.partitions.total_partitions;
    let class = named_partition(args.partition_key, total, known)?;
    let chosen = known.all_configured(&args.projections, Some(args.settings.batch_size))?;
    let options = args.settings.run_options().until_caught_up(args.until_caught_up);
    let shutdown = signals::shutdown()?;
    #[cfg(feature = "monitor")]
    let http = args.http.bind().await?;
    let session = Session::open(global).await?;
    let partition = class.map_or("auto".to_owned(), |class| class.to_string());
    let source = source::open(global, &session).await?;
    let process = Process::new(&session.database);
    telemetry::observe(&process);
    #[cfg(feature = "monitor")]
    let _answering = http.map(|http| http.answer(&process, options.poll_interval)).transpose()?;
    let worker = args.settings.worker_options(args.partitions.takeover());
    let on = On { process: &process, worker, run: &options, shutdown: &shutdown, source: source.as_ref() };
    let lease_term = Duration::from_millis(args.lease_term_ms);
    let runs = chosen.iter().map(|(name, projection)| {
        tracing::info!(%partition, total, batch_size = args.settings.batch_size, projection = name, "started");
        let on = on.clone();
        async move {
            let outcome = if let Some(class) = class {
                projection.run(on, class).await
            } else {
                let replica = Replica { projection: name.clone(), total_partitions: total, lease_term };
                projection.run_replica(on, &replica).await
            };
            Ended { projection: name.clone(), partition: class, outcome }
        }
    });
    let mut ended = each(runs.collect()).await;
    process.close().await;
    session.close().await?;
    ended.sort_by_key(|one| chosen.iter().position(|(name, _)| *name == one.projection));
    for one in &ended {
        summarize(one, &partition, args.json)?;
    }
    // Of one worker the reason is the whole sentence.
    match (failures(&ended), ended.into_iter().next()) {
        (None, _) => Ok(()),
        (Some(_), Some(Ended { outcome: Err(error), .. })) if chosen.len() == 1 => Err(error.into()),
        (Some(reasons), _) => bail!(reasons),
    }
}

/// What was done for one projection; nothing where it failed, of which the command's end has the reason.
fn summarize(one: &Ended, partition: &str, json: bool) -> anyhow::Result<()> {
    let Ended { projection, outcome: Ok(report), .. } = one else { return Ok(()) };
    tracing::info!(
        %partition,
        applied = report.applied,
        parked = report.parked,
        batches = report.batches,
        position = last_position(report).map(Position::get),
        elapsed = format_args!("{:.1?}", report.elapsed),
        coordination = format_args!("{:.1?}", report.coordination),
        compute = format_args!("{:.1?}", report.compute),
        projection,
        "stopped"
    );
    if json { print_json(&DoneFor { projection, done: Done::of(report) }) } else { Ok(()) }
}

/// One JSON object.
#[derive(Serialize)]
struct DoneFor<'a> {
    projection: &'a str,
    #[serde(flatten)]
    done: Done,
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
