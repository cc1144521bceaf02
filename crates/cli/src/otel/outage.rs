//! Exporters that report once that nothing can be exported, and once that it can be again.

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// What is exported.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn bit(self) -> u8 {
        match self {
            Self::Traces => 1,
            Self::Metrics => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// Of which signals the last export has failed: all of them go to one place, most likely.
#[derive(Debug, Default)]
pub(super) struct Outage(AtomicU8);

impl Outage {
    fn note(&self, signal: Signal, outcome: &OTelSdkResult) {
        if let Err(error) = outcome {
            if self.0.fetch_or(signal.bit(), Ordering::Relaxed) == 0 {
                let signal = signal.name();
                tracing::warn!(
                    "OpenTelemetry: {signal} are not exported ({error}), and not kept; everything else goes on, and it is \
                     logged when they are exported again"
                );
            }
        } else if self.0.fetch_and(!signal.bit(), Ordering::Relaxed) == signal.bit() {
            tracing::info!("OpenTelemetry: traces and metrics are exported again");
        }
    }
}

/// An exporter that reports.
#[derive(Debug)]
pub(super) struct Reporting<E> {
    exporter: E,
    signal: Signal,
    outage: Arc<Outage>,
}

impl<E> Reporting<E> {
    pub(super) fn new(exporter: E, signal: Signal, outage: &Arc<Outage>) -> Self {
        Self { exporter, signal, outage: Arc::clone(outage) }
    }
}

impl<E: SpanExporter> SpanExporter for Reporting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outcome = self.exporter.export(batch).await;
        self.outage.note(self.signal, &outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Reporting<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let outcome = self.exporter.export(metrics).await;
        self.outage.note(self.signal, &outcome);
        outcome
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
