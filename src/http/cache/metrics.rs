//! What is counted, for Prometheus. Nothing of it is global: each service counts for itself.

use super::error::{ApiError, ErrorCode};
use super::histogram::Histogram;
use super::route::Route;
use super::state::State;
use crate::cache::Stats;
use axum::extract::State as Shared;
use axum::http::{HeaderName, StatusCode, header};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What has been answered.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// By route, and by class of status.
    requests: [[AtomicU64; CLASSES.len()]; Route::ALL.len()],
    durations: [Histogram; Route::ALL.len()],
}

impl Metrics {
    pub(super) fn answered(&self, route: Route, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[route as usize][class].fetch_add(1, Ordering::Relaxed);
        self.durations[route as usize].add(took);
    }
}

/// What has been counted up to one moment, and how it is told.
struct Scrape {
    state: Arc<State>,
    stats: Stats,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.http(&mut encoder)?;
        self.entries(&mut encoder)?;
        self.shards(&mut encoder)
    }
}

impl Scrape {
    fn http(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.state.metrics;
        let mut requests =
            encoder.encode_descriptor("requests", "Requests that were answered", None, MetricType::Counter)?;
        for route in Route::ALL {
            let counts = CLASSES.iter().zip(&metrics.requests[route as usize]);
            for (class, count) in counts.map(|(class, count)| (*class, count.load(Ordering::Relaxed))) {
                if count > 0 {
                    let labels = [("route", route.name()), ("status", class)];
                    requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
                }
            }
        }
        let help = "How long answering took, without sending";
        let mut durations = encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
        for route in Route::ALL {
            let counts = metrics.durations[route as usize].counts();
            if counts.count > 0 {
                let labels = [("route", route.name())];
                let mut histogram = durations.encode_family(&labels)?;
                histogram.encode_histogram::<NoLabelSet>(counts.sum, counts.count, &counts.buckets, None)?;
            }
        }
        let inflight = i64::try_from(self.state.inflight()).unwrap_or(i64::MAX);
        gauge(encoder, "requests_in_flight", "Requests for keys that are being answered", &inflight)
    }

    fn entries(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = &self.stats;
        counter(encoder, "hits", "Reads that found a value", stats.hits)?;
        counter(encoder, "misses", "Reads that found none", stats.misses)?;
        counter(encoder, "expired", "Entries removed because their time was over", stats.expired)?;
        counter(encoder, "evicted", "Entries removed to make room", stats.evicted)?;
        gauge(encoder, "entries", "Entries that are there", &stats.entries)?;
        gauge(encoder, "memory_bytes", "What the entries take up", &stats.bytes)?;
        gauge(encoder, "memory_budget_bytes", "What the entries may take up", &stats.budget)?;
        gauge(
            encoder,
            "shard_imbalance_ratio",
            "Messages of the busiest shard as a multiple of the mean",
            &stats.imbalance,
        )?;
        gauge(encoder, "ready", "1 if changes are accepted", &i64::from(self.state.cache.is_ready()))
    }

    fn shards(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let shards = &self.stats.shards;
        let mut depth = encoder.encode_descriptor("shard_mailbox", "Messages that wait", None, MetricType::Gauge)?;
        for shard in shards {
            let waiting = i64::try_from(shard.depth).unwrap_or(i64::MAX);
            depth.encode_family(&[("shard", shard.shard)])?.encode_gauge(&waiting)?;
        }
        let mut handled = encoder.encode_descriptor("shard_messages", "Messages handled", None, MetricType::Counter)?;
        for shard in shards {
            let labels = [("shard", shard.shard)];
            handled.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&shard.handled, None)?;
        }
        let help = "How long handling took";
        let mut busy = encoder.encode_descriptor("shard_busy_seconds", help, None, MetricType::Counter)?;
        for shard in shards {
            let labels = [("shard", shard.shard)];
            busy.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&shard.busy.as_secs_f64(), None)?;
        }
        let help = "How often the actor has panicked";
        let mut panics = encoder.encode_descriptor("shard_panics", help, None, MetricType::Counter)?;
        for shard in shards {
            let labels = [("shard", shard.shard)];
            panics.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&shard.panics, None)?;
        }
        Ok(())
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: &impl EncodeGaugeValue) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(value)
}

/// Figures for Prometheus
///
/// Requests by route and class of status, how long they took, hits and misses, memory, and each shard's work.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "watching",
    responses((status = 200, description = "OpenMetrics text; every name starts with evenfold_cache_.",
        body = String, content_type = "application/openmetrics-text")),
)]
pub(super) async fn metrics(
    Shared(state): Shared<Arc<State>>,
) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    let mut registry = Registry::with_prefix("evenfold_cache");
    let figures = state.cache.stats();
    registry.register_collector(Box::new(Scrape { state, stats: figures }));
    let mut out = String::new();
    let wrong = |_| ApiError::new(ErrorCode::Internal, "the figures could not be written");
    text::encode(&mut out, &registry).map_err(wrong)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], out))
}
