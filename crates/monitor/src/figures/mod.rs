//! Figures for Prometheus. Their names follow its conventions: a unit at the end, `_total` for what only grows.

mod projections;
mod workers;

pub(crate) use projections::ProjectionFigures;
pub(crate) use workers::WorkerFigures;
pub use workers::{GAUGES, Gauge, TOTALS, Total, labels};

use evenfold_http::metrics::gauge_family;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

/// What is running: another version may count otherwise.
fn build(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let version = [("version", env!("CARGO_PKG_VERSION").to_owned())];
    gauge_family(encoder, "build_info", "The version that is running", [(version, 1.0)])
}

/// Exact up to 2^53, which nothing that is counted reaches.
#[expect(clippy::cast_precision_loss, reason = "figures are floating point on their way to Prometheus")]
fn float(count: u64) -> f64 {
    count as f64
}
