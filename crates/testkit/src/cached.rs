//! The cache's service in this process, on a port of its own.

use super::{Client, SOON};
use evenfold_cache::http::{CacheService, ServiceOptions};
use evenfold_cache::{Cache, CacheOptions};
use evenfold_http::{Limits, serve};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub struct Cached {
    pub address: SocketAddr,
    pub cache: Cache,
    pub shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Cached {
    pub async fn new(cache: CacheOptions, service: ServiceOptions) -> Self {
        Self::limited(cache, service, Limits::default()).await
    }

    pub async fn limited(cache: CacheOptions, service: ServiceOptions, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = service.max_item_bytes(cache.max_item_bytes);
        let cache = Cache::start(cache).await.unwrap();
        let (service, shutdown) = (CacheService::new(cache.clone(), service), CancellationToken::new());
        let served = serve(listener, service, limits, shutdown.clone().cancelled_owned());
        Self { address, cache, shutdown, task: tokio::spawn(served) }
    }

    pub async fn plain() -> Self {
        Self::new(CacheOptions::default(), ServiceOptions::default()).await
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One figure of the metrics; none if there is no such line.
    pub async fn figure(&self, line: &str) -> Option<f64> {
        let text = self.client().await.get("/metrics").await.body;
        let value = text.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }

    pub async fn end(self) {
        self.shutdown.cancel();
        timeout(SOON, self.task).await.expect("an end").unwrap();
        self.cache.stop().await;
    }
}
