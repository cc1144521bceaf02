//! Figures for Prometheus: those that every service has, and how they are told. Nothing is global: each service counts for
//! itself.

use crate::histogram::{Counts, Histogram};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The type of a text of figures.
pub const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What has been answered, by the number of the route.
#[derive(Debug)]
pub struct Requests<const ROUTES: usize> {
    /// By class of status, too.
    answered: [[AtomicU64; CLASSES.len()]; ROUTES],
    durations: [Histogram; ROUTES],
}

impl<const ROUTES: usize> Default for Requests<ROUTES> {
    fn default() -> Self {
        Self {
            answered: std::array::from_fn(|_| Default::default()),
            durations: std::array::from_fn(|_| Histogram::default()),
        }
    }
}

impl<const ROUTES: usize> Requests<ROUTES> {
    /// Counts an answer.
    pub fn answered(&self, route: usize, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.answered[route][class].fetch_add(1, Ordering::Relaxed);
        self.durations[route].record(took);
    }

    /// Tells them, with these names of the routes.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>, names: &[&'static str; ROUTES]) -> fmt::Result {
        let help = "Requests that were answered";
        let mut requests = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (name, counts) in names.iter().zip(&self.answered) {
            let counts = CLASSES.iter().zip(counts);
            for (class, count) in counts.map(|(class, count)| (*class, count.load(Ordering::Relaxed))) {
                if count > 0 {
                    let labels = [("route", *name), ("status", class)];
                    requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
                }
            }
        }
        let help = "How long answering took, without sending";
        let mut durations = encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
        for (name, duration) in names.iter().zip(&self.durations) {
            let counts = duration.counts();
            if counts.count > 0 {
                histogram(&mut durations, &[("route", *name)], &counts)?;
            }
        }
        Ok(())
    }
}

/// A figure that only grows.
pub fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

/// One histogram of a family.
pub fn histogram<const LABELS: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); LABELS],
    counts: &Counts,
) -> fmt::Result {
    let mut one = family.encode_family(labels)?;
    one.encode_histogram::<NoLabelSet>(counts.sum, counts.count, &counts.buckets, None)
}

/// A figure that goes up and down.
pub fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: &impl EncodeGaugeValue,
) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(value)
}

/// All that a collector tells, in `OpenMetrics` text; every name starts with the prefix.
pub fn text(prefix: &str, figures: impl Collector) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(prefix);
    registry.register_collector(Box::new(figures));
    let mut out = String::new();
    encode(&mut out, &registry)?;
    Ok(out)
}

/// The [text] as an answer.
pub fn answer(prefix: &str, figures: impl Collector) -> Result<Response, fmt::Error> {
    let mut response = Response::new(Body::from(text(prefix, figures)?));
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    Ok(response)
}
