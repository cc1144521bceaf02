//! The counter service, from flags to the last answer.

mod nodes;
mod workers;

use super::access::{Access, MIN_INFLIGHT_BYTES};
use super::output::print;
use super::session::Session;
use super::worker::Topology;
use super::{Global, signals};
use anyhow::bail;
use clap::Args;
use evenfold::checkpoint::RegisterError;
use evenfold::config::number;
use evenfold::counter::AmountPointer;
use evenfold::group::{MAX_MAILBOX, ProcessGroups};
use evenfold::http::counter::{CounterService, ServiceOptions};
use evenfold::http::{Limits, serve};
use evenfold::projection::counters;
use evenfold::service::{Node, NodeOptions, Storage};
use futures_util::future::select_all;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use workers::Workers;

/// How many connections to the figures are open at a time.
const FIGURES: usize = 64;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The port; 0 takes one that is free
    #[arg(long, default_value = "8181", value_name = "PORT", value_parser = |t: &str| number::<u16>(t, &(0..=u16::MAX)))]
    port: u16,
    /// The port of the figures for Prometheus; 0 takes one that is free
    #[arg(long, default_value = "2121", value_name = "PORT", value_parser = |t: &str| number::<u16>(t, &(0..=u16::MAX)))]
    metrics_port: u16,
    #[command(flatten)]
    access: Access,
    /// Keep counters in memory only: faster, and lost when the process ends
    #[arg(long)]
    volatile: bool,
    /// How many counters are in memory at a time, in all shards of a node together; others are read back when they are asked
    /// for, or refused with --volatile
    #[arg(long, env = "EVENFOLD_MAX_ACTORS", default_value = "100000", value_name = "COUNTERS",
        value_parser = |t: &str| number::<usize>(t, &(2..=100_000_000)))]
    max_actors: usize,
    /// How long a request may take, in all attempts together
    #[arg(long, env = "REQUEST_TIMEOUT_MS", default_value = "5000", value_name = "MS", value_parser = |t: &str| number::<u64>(t, &(100..=3_600_000)))]
    request_timeout_ms: u64,
    /// How many requests may be in flight; further ones get 503
    #[arg(long, env = "MAX_INFLIGHT", default_value = "10000", value_name = "N", value_parser = |t: &str| number::<usize>(t, &(1..=1_000_000)))]
    max_inflight: usize,
    /// How many bytes they may have in memory together, with their answers until these are sent; further ones get 503
    #[arg(long, env = "MAX_INFLIGHT_BYTES", default_value = "67108864", value_name = "BYTES",
        value_parser = |t: &str| number::<usize>(t, &(MIN_INFLIGHT_BYTES..=1 << 50)))]
    max_inflight_bytes: usize,
    /// How many requests may wait at one shard; further ones get 503
    #[arg(long, env = "MAX_SHARD_MAILBOX", default_value = "1024", value_name = "N", value_parser = |t: &str| number::<usize>(t, &(1..=MAX_MAILBOX)))]
    max_shard_mailbox: usize,
    /// How many may watch counters at the same time; further ones get 503
    #[arg(long, env = "MAX_WATCHERS", default_value = "1000", value_name = "N", value_parser = |t: &str| number::<usize>(t, &(1..=10_000)))]
    max_watchers: usize,
    /// Leave the folding of the log to other processes
    #[arg(long)]
    no_workers: bool,
    #[command(flatten)]
    topology: Topology,
    #[command(flatten)]
    nodes: nodes::NodesArgs,
}

impl ServeArgs {
    fn node_options(&self) -> NodeOptions {
        NodeOptions {
            shards: self.nodes.shards(),
            max_actors: self.max_actors,
            max_waiting: self.max_shard_mailbox,
            request_timeout: Duration::from_millis(self.request_timeout_ms),
        }
    }
}

pub(super) async fn run(global: &Global, args: ServeArgs) -> anyhow::Result<()> {
    let (auth, limits) = (args.access.auth()?, args.access.limits()?);
    args.nodes.check()?;
    if !args.no_workers {
        Workers::check(&args.topology)?;
    }
    let shutdown = signals::shutdown()?;
    let listener = args.access.listen(args.port, "--port").await?;
    let figures = args.access.listen(args.metrics_port, "--metrics-port").await?;
    let addresses = (listener.local_addr()?, figures.local_addr()?);
    let session = if args.volatile { None } else { Some(Session::open(global).await?) };
    if let Some(session) = &session {
        // It counts as the projection does, or what it answers is not what is read.
        let definition = counters::check_begun(&mut session.connect().await?, &AmountPointer::default()).await;
        if let Err(error @ RegisterError::OtherDefinition { .. }) = definition {
            return Err(error.into());
        }
    }
    let groups = ProcessGroups::default();
    let database = session.as_ref().map(|session| session.database.clone());
    let storage = database.clone().map_or(Storage::Volatile, Storage::Durable);
    let nodes = args.nodes.start(addresses.0.port(), &args.node_options(), &storage, &groups).await?;
    let workers = match database.filter(|_| !args.no_workers) {
        Some(database) => Some(Workers::start(&database, &args.topology, &groups).await?),
        None => None,
    };
    say(addresses, nodes.len(), args.volatile)?;
    let options = ServiceOptions {
        auth,
        max_inflight: args.max_inflight,
        max_inflight_bytes: args.max_inflight_bytes,
        max_watchers: args.max_watchers,
        workers: workers.as_ref().map(|workers| workers.members.clone()).unwrap_or_default(),
        ..ServiceOptions::default()
    };
    let service = CounterService::new(nodes.clone(), options);
    let ended = answer(listener, figures, service, limits, &nodes, &shutdown).await;
    // One after the other: those that are left take over from the one that stops, as nobody could if all did at once.
    for node in &nodes {
        node.stop().await;
    }
    if let Some(workers) = workers {
        workers.stop().await;
    }
    if let Some(session) = session {
        session.close().await?;
    }
    tracing::info!("stopped");
    match ended {
        Some(why) => bail!(why),
        None => Ok(()),
    }
}

fn say((address, figures): (SocketAddr, SocketAddr), nodes: usize, volatile: bool) -> anyhow::Result<()> {
    let how = match nodes {
        1 => String::new(),
        nodes => format!(" by {nodes} nodes"),
    };
    print(&format!("serving on http://{address}{how}, documented at /docs\n"))?;
    print(&format!("figures for Prometheus on http://{figures}/metrics\n"))?;
    if volatile {
        print("counters are in memory only (--volatile): lost when this process ends\n")?;
    }
    tracing::info!(%address, %figures, nodes, volatile, "started");
    Ok(())
}

/// Answers until it is to stop, or until a node is a member of its cluster no more; gives why.
async fn answer(
    listener: TcpListener,
    figures: TcpListener,
    service: CounterService,
    limits: Limits,
    nodes: &[Node],
    shutdown: &CancellationToken,
) -> Option<String> {
    let stop = shutdown.child_token();
    let metrics = service.metrics();
    let watching = async {
        let ended = select_all(nodes.iter().map(|node| Box::pin(node.ended())));
        let why = stop.run_until_cancelled(ended).await.map(|(why, ..)| why);
        stop.cancel();
        why
    };
    // The figures of the last answers can be read until they are given.
    let last = CancellationToken::new();
    let requests = async {
        serve(listener, service, limits.clone(), stop.cancelled()).await;
        last.cancel();
    };
    // Figures are made anew for each request, and can be large.
    let few = Limits { connections: FIGURES, ..limits.clone() };
    let (why, (), ()) = tokio::join!(watching, requests, serve(figures, metrics, few, last.cancelled()));
    why
}
