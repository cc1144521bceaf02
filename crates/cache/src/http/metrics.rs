//! What is counted, for Prometheus. Nothing of it is global: each service counts for itself.

use super::error::{ApiError, ErrorCode};
use super::state::State;
use crate::{HotKey, Stats};
use axum::http::HeaderMap;
use axum::response::Response;
use evenfold_http::documented::{Documented, DocumentedAnswer};
use evenfold_http::inflight::Place;
use evenfold_http::metrics::{answer, counter, gauge, gauge_family, text};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

/// What has been counted up to one moment, and how it is reported.
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
        self.state.requests.encode(&mut encoder)?;
        let inflight = i64::try_from(self.state.inflight.taken()).unwrap_or(i64::MAX);
        gauge(&mut encoder, "requests_in_flight", "Requests for keys that are being answered", &inflight)?;
        let bytes = i64::try_from(self.state.inflight.bytes()).unwrap_or(i64::MAX);
        gauge(&mut encoder, "bytes_in_flight", "Bytes of the bodies and the answers of these requests", &bytes)?;
        let (received, sent) = (self.state.inflight.received(), self.state.inflight.sent());
        counter(&mut encoder, "received_bytes", "Bytes of the bodies of requests for keys", received)?;
        counter(&mut encoder, "sent_bytes", "Bytes of the bodies of their answers, but for errors", sent)?;
        self.entries(&mut encoder)?;
        self.load(&mut encoder)?;
        self.shards(&mut encoder)
    }
}

const IMBALANCE: &str = "Reads and changes of the busiest shard as a multiple of the mean, in the last ten seconds; absent where they \
were few";

impl Scrape {
    fn entries(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = &self.stats;
        counter(encoder, "hits", "Reads that found a value", stats.hits)?;
        counter(encoder, "misses", "Reads that found none", stats.misses)?;
        counter(encoder, "expired", "Entries removed because their time was over", stats.expired)?;
        counter(encoder, "evicted", "Entries removed to make room", stats.evicted)?;
        gauge(encoder, "entries", "Entries that are there", &stats.entries)?;
        gauge(encoder, "memory_bytes", "What the entries take up", &stats.bytes)?;
        gauge(encoder, "memory_budget_bytes", "What the entries may take up", &stats.budget)?;
        gauge(encoder, "ready", "1 if changes are accepted", &i64::from(self.state.cache.is_ready()))
    }

    /// Of the last ten seconds.
    fn load(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = &self.stats;
        if let Some(imbalance) = &stats.imbalance {
            gauge(encoder, "shard_imbalance_ratio", IMBALANCE, imbalance)?;
        }
        let auto = i64::from(stats.auto_shards);
        gauge(encoder, "auto_shards", "1 if more shards are made where one is hot because of many keys", &auto)?;
        let changes = stats.auto_shards_changes;
        counter(encoder, "auto_shards_changes", "How often more shards were made for that", changes)?;
        let loads = stats.shards.iter().filter_map(|shard| Some(([("shard", shard.shard)], shard.per_second?)));
        gauge_family(encoder, "shard_load", "Reads and changes per second, in the last ten seconds", loads)?;
        let hot = stats.hot.iter().map(|hot| ([("shard", hot.shard)], hot.share));
        gauge_family(encoder, "hot_shard_share", "Part of all reads and changes, of a shard that is hot", hot)?;
        let keys = stats.hot.iter().filter_map(|hot| Some((hot.shard, hot.key?)));
        let key = |(shard, key): (u32, HotKey)| {
            let hash = format!("{:016x}", key.hash);
            ([("shard", shard.to_string()), ("key_hash", hash)], key.per_second)
        };
        let help = "Reads and changes per second of the key that has most of those of a hot shard, by its FNV-1a hash";
        gauge_family(encoder, "hot_key_load", help, keys.map(key))
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

const EXAMPLE_FIGURES: &str = "# TYPE evenfold_cache_entries gauge\nevenfold_cache_entries 1\n";

pub(super) fn documented(documented: Documented) -> Documented {
    documented
        .operation("metrics", "watching", "Figures for Prometheus")
        .description(
            "Requests by route and class of status, how long they took, hits and misses, memory, and each shard's work.",
        )
        .answer(
            200,
            DocumentedAnswer::text(
                "Prometheus' text, or OpenMetrics if Accept asks for it; every name starts with evenfold_cache_.",
                "text/plain",
                EXAMPLE_FIGURES,
            ),
        )
}

pub(super) fn metrics(state: &Arc<State>, headers: &HeaderMap, place: Place) -> Result<Response, ApiError> {
    let figures = state.cache.stats();
    let wrong = |_| ApiError::new(ErrorCode::Internal, "the figures could not be written");
    let text = text("evenfold_cache", Scrape { state: Arc::clone(state), stats: figures }).map_err(wrong)?;
    Ok(answer(headers, &[text], Some(place)))
}
