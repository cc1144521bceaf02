//! Counters as typed actors: the example itself.

#[expect(dead_code, reason = "it has a main of its own")]
#[path = "../../../../examples/counter.rs"]
mod example;

use clap::Args;
use evenfold_cli::output::print;
use evenfold_cluster::nats::Nats;
use evenfold_cluster::{NodeId, Transport, local};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Args)]
pub(crate) struct TypedArgs {
    /// How many nodes there are
    #[arg(long)]
    nodes: u32,
    /// The NATS server that connects them; empty for one node by itself
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    nats_url: String,
}

/// Serves until it gets a signal to stop, and prints where, as the counter service does.
pub(crate) async fn serve_typed(args: TypedArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let network = local::Network::new();
    let mut transports: Vec<Arc<dyn Transport>> = Vec::new();
    for _ in 0..args.nodes {
        transports.push(if args.nats_url.is_empty() {
            Arc::new(network.endpoint())
        } else {
            Arc::new(Nats::connect(&args.nats_url, NodeId::new("bench")?).await?)
        });
    }
    let (http, prometheus) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    print(&format!("serving on http://{}\n", http.local_addr()?))?;
    example::serve(transports, http, prometheus, shutdown.cancelled_owned()).await
}
