//! The cache service, from flags to the last answer.

use super::access::{Access, MIN_INFLIGHT_BYTES};
use super::output::print;
use super::signals;
use crate::config::{UsageError, number};
use clap::Args;
use evenfold_cache::http::{CacheService, ServiceOptions};
use evenfold_cache::{Cache, CacheOptions, MAX_MAILBOX, MAX_SHARDS, MIN_MEMORY_BUDGET};
use evenfold_http::{Auth, serve};
use std::time::Duration;

/// The largest value that the service can be set to take, 64 MiB: bodies are held whole, and may have six times as
/// much.
const LARGEST_ITEM: usize = 64 * 1024 * 1024;

/// The bytes in flight of a small cache.
const LEAST_INFLIGHT_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    /// The port; 0 takes one that is free
    #[arg(long, default_value = "8080", value_name = "PORT", value_parser = |t: &str| number::<u16>(t, &(0..=u16::MAX)))]
    port: u16,
    #[command(flatten)]
    access: Access,
    /// How many shards the keys are divided among: 1 to 1024 [default: the number of processors]
    #[arg(long, env = "SHARDS", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_SHARDS)))]
    shards: Option<u32>,
    /// Make more shards where one is hot because of changes of many keys, twice as many, at most once a minute: true
    /// or false
    #[arg(long, env = "AUTO_SHARDS", default_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    auto_shards: bool,
    /// How many shards are made in that way at most: 1 to 1024, as far as each has room for four of the largest values
    /// [default: four times --shards]
    #[arg(long, env = "MAX_SHARDS", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_SHARDS)))]
    max_shards: Option<u32>,
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
    /// How many bytes they may have in memory together, with their bodies, and their answers until these are sent;
    /// further ones get 503 [default: a quarter of the memory budget, and at least 16777216]
    #[arg(long, env = "MAX_INFLIGHT_BYTES", value_name = "BYTES", value_parser = |t: &str| number::<usize>(t, &(MIN_INFLIGHT_BYTES..=1 << 50)))]
    max_inflight_bytes: Option<usize>,
    /// How many changes may wait at one shard; further ones get 503
    #[arg(long, env = "MAX_SHARD_MAILBOX", default_value = "1000", value_name = "N", value_parser = |t: &str| number::<usize>(t, &(1..=MAX_MAILBOX)))]
    max_shard_mailbox: usize,
    /// Keep values of more bytes than this compressed [default: off]
    #[arg(long, env = "COMPRESS_ABOVE_BYTES", value_name = "BYTES", value_parser = |t: &str| number::<usize>(t, &(0..=LARGEST_ITEM)))]
    compress_above_bytes: Option<usize>,
}

impl CacheArgs {
    fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    fn cache_options(&self) -> CacheOptions {
        let options = CacheOptions::default();
        let shards = self.shards.unwrap_or(options.shards);
        options
            .shards(shards)
            .auto_shards(self.auto_shards)
            .max_shards(self.max_shards)
            .memory_budget_bytes(self.memory_budget_bytes)
            .max_item_bytes(self.max_item_bytes)
            .max_shard_mailbox(self.max_shard_mailbox)
            .request_timeout(self.request_timeout())
            .compress_above_bytes(self.compress_above_bytes)
    }

    fn service_options(&self, auth: Option<Auth>) -> ServiceOptions {
        ServiceOptions::default()
            .auth(auth)
            .max_inflight(self.max_inflight)
            .max_inflight_bytes(self.max_inflight_bytes())
            .request_timeout(self.request_timeout())
            .max_item_bytes(self.max_item_bytes)
    }

    /// A quarter of the budget, so that the process is not far larger than the cache, but enough for a largest batch.
    fn max_inflight_bytes(&self) -> usize {
        let quarter = usize::try_from(self.memory_budget_bytes / 4).unwrap_or(usize::MAX);
        self.max_inflight_bytes.unwrap_or(quarter.max(LEAST_INFLIGHT_BYTES))
    }
}

pub(super) async fn run(args: CacheArgs) -> anyhow::Result<()> {
    let (options, limits) = (args.service_options(args.access.auth()?), args.access.limits()?);
    let shutdown = signals::shutdown()?;
    let listener = args.access.listen(args.port, "--port").await?;
    let address = listener.local_addr()?;
    let cache = Cache::start(args.cache_options()).await.map_err(|error| UsageError(error.to_string()))?;
    let service = CacheService::new(cache.clone(), options);
    print(&format!("serving on http://{address}, documented at http://{address}/docs\n"))?;
    tracing::info!(%address, "started");
    serve(listener, service, limits, shutdown.cancelled()).await;
    cache.drain().await;
    cache.stop().await;
    tracing::info!("stopped");
    Ok(())
}
