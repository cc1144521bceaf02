//! Figures for Prometheus: those that every service has, and how they are written. Nothing is global: each service
//! counts for itself.

use crate::answer::body;
use crate::codes::{self, Code};
use crate::exposition::Format;
use crate::histogram::{Counts, Histogram};
use crate::inflight::Place;
use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The row of what is no route.
pub(crate) const OTHER: &str = "other";

/// What has been answered, by route: a row for each name that the routes have.
#[derive(Debug)]
pub struct Requests {
    rows: Vec<Row>,
    /// By the name of the error's code, as far as there were any. Behind a lock, which only errors take.
    refused: Mutex<BTreeMap<String, u64>>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    /// By class of status.
    answered: [AtomicU64; CLASSES.len()],
    durations: Histogram,
}

impl Requests {
    /// A row for each of these names, in their order, in which nothing was answered yet.
    pub(crate) fn named(names: impl Iterator<Item = &'static str>) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for name in names {
            if rows.iter().all(|row| row.name != name) {
                rows.push(Row { name, answered: Default::default(), durations: Histogram::default() });
            }
        }
        Self { rows, refused: Mutex::default() }
    }

    /// The number of the row with this name.
    pub(crate) fn row(&self, name: &str) -> usize {
        let row = self.rows.iter().position(|row| row.name == name);
        assert!(row.is_some(), "there is no row {name} for the requests: they were made for another service");
        row.unwrap_or_default()
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, row: usize, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.rows[row].answered[class].fetch_add(1, Ordering::Relaxed);
        self.rows[row].durations.record(took);
    }

    /// Counts an answer that is an error, in addition. The router does so; what is left is a part of an answer that is
    /// an error where the whole is none.
    pub fn refused(&self, code: impl Code) {
        *self.all_refused().entry(codes::name(code)).or_default() += 1;
    }

    fn all_refused(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        // Of somebody who has panicked in between there is a count less.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes them, with the names of the routes as the label `route`, and of the codes of errors as `code`.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that were answered";
        let mut requests = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for row in &self.rows {
            let counts = CLASSES.iter().zip(&row.answered);
            for (class, count) in counts.map(|(class, count)| (*class, count.load(Ordering::Relaxed))) {
                if count > 0 {
                    let labels = [("route", row.name), ("status", class)];
                    requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
                }
            }
        }
        let help = "How long answering took, without sending";
        let mut durations = encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
        for row in &self.rows {
            let counts = row.durations.counts();
            if counts.count > 0 {
                histogram(&mut durations, &[("route", row.name)], &counts)?;
            }
        }
        let help = "Answers that were errors, and parts of batches that failed, by the error's code";
        let refused = self.all_refused().clone();
        let mut family = encoder.encode_descriptor("refusals", help, None, MetricType::Counter)?;
        for (code, count) in &refused {
            family.encode_family(&[("code", code.as_str())])?.encode_counter::<NoLabelSet, _, f64>(count, None)?;
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

/// All that a collector has, in `OpenMetrics` text; every name starts with the prefix.
pub fn text(prefix: &str, figures: impl Collector) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(prefix);
    registry.register_collector(Box::new(figures));
    let mut out = String::new();
    encode(&mut out, &registry)?;
    Ok(out)
}

/// [Texts](text) of figures as one answer, in the format that the request asks for, with the place that it has had, if
/// it has had one.
pub fn answer(headers: &HeaderMap, texts: &[String], place: Option<Place>) -> Response<Body> {
    let format = Format::of(headers);
    let text = format.joined(texts);
    let mut response = Response::new(match place {
        Some(place) => body(text.into_bytes(), place),
        None => Body::from(text),
    });
    response.headers_mut().insert(header::CONTENT_TYPE, format.content_type());
    response
}

/// Figures of a family that go up and down, each with its labels.
pub fn gauge_family<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    figures: impl IntoIterator<Item = (L, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in figures {
        family.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// Figures of a family that only grow, each with its labels.
pub fn counter_family<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    figures: impl IntoIterator<Item = (L, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in figures {
        family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
    }
    Ok(())
}
