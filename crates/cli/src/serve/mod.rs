//! The counter service, from flags to the last answer.

mod demo;
mod members;
mod nats;
mod nodes;
mod workers;

use super::access::{Access, MIN_INFLIGHT_BYTES};
#[cfg(feature = "monitor")]
use super::http::HttpArgs;
use super::nats_server::{NatsProgram, NatsServer};
use super::output::print;
use super::session::Session;
use super::tuning::Topology;
use super::{Global, signals, telemetry};
use crate::config::number;
use anyhow::bail;
use clap::Args;
use evenfold::checkpoint::RegisterError;
use evenfold::counter::AmountPointer;
use evenfold::counters;
use evenfold::projection::Process;
use evenfold_counter_service::http::{CounterService, ServiceOptions};
use evenfold_counter_service::{Node, NodeOptions, Storage};
use evenfold_groups::{MAX_MAILBOX, ProcessGroups};
use evenfold_http::{Limits, serve};
use futures_util::future::select_all;
use futures_util::stream::{self, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
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
    #[cfg(feature = "monitor")]
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    access: Access,
    /// Keep counters in memory only: faster, and lost when the process ends
    #[arg(long)]
    volatile: bool,
    /// How many counters are in memory at a time, in all shards of a node together; others are read back when they are
    /// asked for, or refused with --volatile
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
    #[command(flatten)]
    nats: NatsProgram,
}

impl ServeArgs {
    fn node_options(&self) -> NodeOptions {
        NodeOptions::default()
            .shards(self.nodes.shards())
            .max_actors(self.max_actors)
            .max_waiting(self.max_shard_mailbox)
            .request_timeout(Duration::from_millis(self.request_timeout_ms))
    }

    /// Starts the NATS server of a demonstration, and has its nodes use it.
    async fn begin_demonstration(&mut self) -> anyhow::Result<NatsServer> {
        let nats = NatsServer::start(&self.nats.find()?).await?;
        self.nodes.nats_url = Some(nats.url.clone());
        // As in the other demonstrations: one with another number of partitions has ended, or was killed.
        self.topology.takeover = true;
        Ok(nats)
    }
}

pub(super) async fn run(global: &Global, mut args: ServeArgs) -> anyhow::Result<()> {
    let (auth, limits) = (args.access.auth()?, args.access.limits()?);
    args.nodes.check()?;
    if !args.no_workers {
        Workers::check(&args.topology)?;
    }
    let shutdown = signals::shutdown()?;
    let listener = args.access.listen(args.port, "--port").await?;
    let figures = args.access.listen(args.metrics_port, "--metrics-port").await?;
    #[cfg(feature = "monitor")]
    let http = args.http.bind().await?;
    let addresses = (listener.local_addr()?, figures.local_addr()?);
    let mut nats = if args.nodes.demo { Some(args.begin_demonstration().await?) } else { None };
    let session = open(global, &args).await?;
    let groups = ProcessGroups::default();
    let database = session.as_ref().map(|session| session.database.clone());
    let storage = database.clone().map_or(Storage::Volatile, Storage::Durable);
    let nodes = args.nodes.start(addresses.0.port(), &args.node_options(), &storage, &groups).await?;
    let process = database.as_ref().map(Process::new);
    process.iter().for_each(telemetry::observe);
    let workers = match process.as_ref().filter(|_| !args.no_workers) {
        Some(process) => Some(Workers::start(process, &args.topology, &groups)?),
        None => None,
    };
    // Whoever has asked for the end meanwhile is not shown that it serves.
    if !shutdown.is_cancelled() {
        say(addresses, nodes.len(), args.volatile)?;
        if args.nodes.demo {
            print(&demo::lines(addresses.0, auth.as_ref()))?;
        }
    }
    let options = ServiceOptions::default()
        .auth(auth)
        .max_inflight(args.max_inflight)
        .max_inflight_bytes(args.max_inflight_bytes)
        .max_watchers(args.max_watchers)
        .workers(workers.as_ref().map(|workers| workers.members.clone()).unwrap_or_default());
    let service = CounterService::new(nodes.clone(), options);
    #[cfg(feature = "monitor")]
    let _answering = http.map(|http| http.answer_for_service(process.as_ref(), &service)).transpose()?;
    let ended = answer(listener, figures, service, limits, &nodes, nats.as_mut(), &shutdown).await;
    stop(nodes, nats.as_ref().is_some_and(NatsServer::has_ended), workers, session).await?;
    // The nodes have needed it to hand over, and are not connected to it any more.
    drop(nats);
    tracing::info!("stopped");
    match ended {
        Some(why) => bail!(why),
        None => Ok(()),
    }
}

/// The database, unless counters are kept in memory only.
async fn open(global: &Global, args: &ServeArgs) -> anyhow::Result<Option<Session>> {
    if args.volatile {
        return Ok(None);
    }
    let session = if args.nodes.demo { Session::demonstration(global).await? } else { Session::open(global).await? };
    // It counts as the projection does, or what it answers is not what is read.
    let definition =
        counters::check_begun(session.database.schema(), &mut session.connect().await?, &AmountPointer::default())
            .await;
    if let Err(error @ RegisterError::OtherDefinition { .. }) = definition {
        return Err(error.into());
    }
    Ok(Some(session))
}

/// Stops the nodes one after the other: those that are left take over from the one that stops, as nobody could if all
/// did at once. Nobody can either where they are cut off from each other: then all wait for it at the same time.
async fn stop(
    nodes: Vec<Node>,
    cut_off: bool,
    workers: Option<Workers>,
    session: Option<Session>,
) -> anyhow::Result<()> {
    let at_once = if cut_off { nodes.len() } else { 1 };
    let leaving = stream::iter(&nodes).for_each_concurrent(at_once, async |node| {
        node.stop().await;
        if node.views().is_some() {
            tracing::info!(node = %node.metrics().node, "left the cluster");
        }
    });
    leaving.await;
    if let Some(workers) = workers {
        workers.stop().await;
    }
    drop(nodes);
    match session {
        Some(session) => session.close().await,
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

/// Waits until the NATS server of our own has ended by itself, if there is one, and gives the last line of its output.
async fn without_nats(nats: Option<&mut NatsServer>) -> Arc<str> {
    match nats {
        Some(nats) => nats.ended().await,
        None => std::future::pending().await,
    }
}

/// Answers until it is to stop, or until a node is a member of its cluster no more; gives why.
async fn answer(
    listener: TcpListener,
    figures: TcpListener,
    service: CounterService,
    limits: Limits,
    nodes: &[Node],
    nats: Option<&mut NatsServer>,
    shutdown: &CancellationToken,
) -> Option<String> {
    let stop = shutdown.child_token();
    let metrics = service.metrics();
    let watching = async {
        let ended = async {
            tokio::select! {
                (why, ..) = select_all(nodes.iter().map(|node| Box::pin(node.ended()))) => why,
                last = without_nats(nats) => format!("the NATS server of the demonstration has ended; start it again ({last})"),
                never = members::log_changes(nodes) => match never {},
            }
        };
        let why = stop.run_until_cancelled(ended).await;
        if let Some(why) = &why {
            tracing::warn!("stopping: {why}");
        }
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
    let few = limits.clone().connections(FIGURES);
    let (why, (), ()) = tokio::join!(watching, requests, serve(figures, metrics, few, last.cancelled()));
    why
}
