//! The cache service, from flags to the last answer.

use super::output::print;
use super::signals;
use anyhow::anyhow;
use clap::Args;
use evenfold::cache::{Cache, CacheOptions, MAX_MAILBOX, MAX_SHARDS, MIN_MEMORY_BUDGET};
use evenfold::config::{UsageError, number};
use evenfold::http::cache::{CacheService, ServiceOptions};
use evenfold::http::{ApiToken, Auth, Limits, serve};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;

/// The largest value that the service can be told to take, 64 MiB: bodies are held whole, and may have six times as much.
const LARGEST_ITEM: usize = 64 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    /// The port; 0 takes one that is free
    #[arg(long, default_value = "8080", value_name = "PORT", value_parser = |t: &str| number::<u16>(t, &(0..=u16::MAX)))]
    port: u16,
    /// The address; any but those of this machine alone need API_TOKEN
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDR")]
    bind: IpAddr,
    /// How many shards the keys are divided among: 1 to 1024 [default: the number of processors]
    #[arg(long, env = "SHARDS", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_SHARDS)))]
    shards: Option<u32>,
    /// How many bytes a value may have
    #[arg(long, env = "MAX_ITEM_BYTES", default_value = "1048576", value_name = "BYTES",
        value_parser = |t: &str| number::<usize>(t, &(1..=LARGEST_ITEM)))]
    max_item_bytes: usize,
    /// How many bytes all entries may take up together, with what is kept about them
    #[arg(long, env = "MEMORY_BUDGET_BYTES", default_value = "268435456", value_name = "BYTES",
        value_parser = |t: &str| number::<u64>(t, &(MIN_MEMORY_BUDGET..=1 << 50)))]
    memory_budget_bytes: u64,
    /// How long a body may take to come, and a change to be made
    #[arg(long, env = "REQUEST_TIMEOUT_MS", default_value = "2000", value_name = "MS", value_parser = |t: &str| number::<u64>(t, &(1..=3_600_000)))]
    request_timeout_ms: u64,
    /// How many requests may be in flight; further ones get 503
    #[arg(long, env = "MAX_INFLIGHT", default_value = "1000", value_name = "N", value_parser = |t: &str| number::<usize>(t, &(1..=1_000_000)))]
    max_inflight: usize,
    /// How many changes may wait at one shard; further ones get 503
    #[arg(long, env = "MAX_SHARD_MAILBOX", default_value = "1000", value_name = "N", value_parser = |t: &str| number::<usize>(t, &(1..=MAX_MAILBOX)))]
    max_shard_mailbox: usize,
    /// Keep values of more bytes than this compressed [default: off]
    #[arg(long, env = "COMPRESS_ABOVE_BYTES", value_name = "BYTES", value_parser = |t: &str| number::<usize>(t, &(0..=LARGEST_ITEM)))]
    compress_above_bytes: Option<usize>,
    /// The secret that changes need in the header X-API-Token
    #[arg(long, env = "API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<String>,
    /// Whether reads need it too: true or false
    #[arg(long, env = "READ_REQUIRES_AUTH", default_value = "false", value_name = "BOOL", action = clap::ArgAction::Set)]
    read_requires_auth: bool,
}

impl CacheArgs {
    /// Who may do what, if that is a choice that can be meant.
    fn auth(&self) -> Result<Option<Auth>, UsageError> {
        let Some(secret) = &self.api_token else {
            return if !self.bind.is_loopback() {
                Err(UsageError(format!(
                    "{} can be reached from other machines: set API_TOKEN, or bind to 127.0.0.1 (--bind)",
                    self.bind
                )))
            } else if self.read_requires_auth {
                Err(UsageError("READ_REQUIRES_AUTH is for services with a token: set API_TOKEN too".to_owned()))
            } else {
                Ok(None)
            };
        };
        let token = ApiToken::new(secret).map_err(|error| UsageError(format!("API_TOKEN (--api-token): {error}")))?;
        Ok(Some(Auth { token, reads: self.read_requires_auth }))
    }

    fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    fn cache_options(&self) -> CacheOptions {
        let options = CacheOptions::default();
        CacheOptions {
            shards: self.shards.unwrap_or(options.shards),
            memory_budget_bytes: self.memory_budget_bytes,
            max_item_bytes: self.max_item_bytes,
            max_shard_mailbox: self.max_shard_mailbox,
            request_timeout: self.request_timeout(),
            compress_above_bytes: self.compress_above_bytes,
            ..options
        }
    }

    fn service_options(&self, auth: Option<Auth>) -> ServiceOptions {
        ServiceOptions {
            auth,
            max_inflight: self.max_inflight,
            request_timeout: self.request_timeout(),
            max_item_bytes: self.max_item_bytes,
        }
    }
}

pub(super) async fn run(args: CacheArgs) -> anyhow::Result<()> {
    let auth = args.auth()?;
    let shutdown = signals::shutdown()?;
    let listener = listen(SocketAddr::new(args.bind, args.port)).await?;
    let address = listener.local_addr()?;
    let cache = Cache::start(args.cache_options()).await.map_err(|error| UsageError(error.to_string()))?;
    let service = CacheService::new(cache.clone(), args.service_options(auth));
    print(&format!("serving on http://{address}, documented at http://{address}/docs\n"))?;
    tracing::info!(%address, "started");
    serve(listener, service, Limits::default(), shutdown.cancelled()).await;
    cache.drain().await;
    cache.stop().await;
    tracing::info!("stopped");
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!("{address} is in use: stop who has it, or choose another port (--port)"),
        ErrorKind::PermissionDenied => anyhow!("{address} is for the system: choose a port from 1024 up (--port)"),
        ErrorKind::AddrNotAvailable => anyhow!("{} is no address of this machine: correct --bind", address.ip()),
        _ => anyhow!("can't listen on {address}: {error}"),
    })
}
