//! The counter service in this process, on a port of its own, with its figures on another.

use super::{Client, SOON};
use evenfold_counter_service::http::{CounterService, ServiceOptions};
use evenfold_counter_service::{Node, NodeOptions, Storage};
use evenfold_groups::ProcessGroups;
use evenfold_http::{Limits, serve};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub struct Counting {
    pub address: SocketAddr,
    pub figures: SocketAddr,
    pub nodes: Vec<Node>,
    pub shutdown: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Counting {
    /// Counters in memory only, of so many nodes that know nothing of each other.
    pub async fn volatile(nodes: usize, node: NodeOptions, service: ServiceOptions, limits: Limits) -> Self {
        let mut started = Vec::new();
        for _ in 0..nodes {
            let groups = ProcessGroups::default();
            started.push(Node::start(node.clone(), Storage::Volatile, &groups).await.unwrap());
        }
        Self::serving(started, service, limits).await
    }

    pub async fn serving(nodes: Vec<Node>, service: ServiceOptions, limits: Limits) -> Self {
        let service = CounterService::new(nodes.clone(), service);
        let shutdown = CancellationToken::new();
        let (listener, metrics) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (address, figures) = (listener.local_addr().unwrap(), metrics.local_addr().unwrap());
        let tasks = [
            tokio::spawn(serve(metrics, service.metrics(), Limits::default(), shutdown.clone().cancelled_owned())),
            tokio::spawn(serve(listener, service, limits, shutdown.clone().cancelled_owned())),
        ];
        Self { address, figures, nodes, shutdown, tasks }
    }

    pub async fn with(service: ServiceOptions) -> Self {
        Self::volatile(1, NodeOptions::default(), service, Limits::default()).await
    }

    pub async fn plain() -> Self {
        Self::with(ServiceOptions::default()).await
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One figure of the metrics; none if there is no such line.
    pub async fn figure(&self, line: &str) -> Option<f64> {
        let text = Client::connect(self.figures).await.get("/metrics").await.body;
        let value = text.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }

    pub async fn end(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            timeout(SOON, task).await.expect("an end").unwrap();
        }
        for node in self.nodes {
            node.stop().await;
        }
    }
}
