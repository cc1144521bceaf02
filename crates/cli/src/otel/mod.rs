//! OpenTelemetry: traces and metrics by OTLP, where an endpoint is set. Configured by the variables that the
//! specification of OpenTelemetry has for that.

mod figures;
mod links;
mod outage;
mod settings;

pub(crate) use figures::observe;
#[cfg(any(feature = "cache", feature = "serve"))]
pub(crate) use links::continue_trace;
pub(crate) use links::link;

use crate::config::UsageError;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use outage::{Outage, Reporting, Signal};
use settings::Settings;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;

/// At its end, the process waits for so long at most until everything is exported.
const FLUSHED_WITHIN: Duration = Duration::from_secs(5);

/// Whether spans are exported.
static TRACING: AtomicBool = AtomicBool::new(false);

/// What exports, until the process ends.
pub(crate) struct Exporters {
    tracer: Option<SdkTracerProvider>,
    meter: Option<SdkMeterProvider>,
}

/// Whether spans are exported by this process.
pub(crate) fn traces() -> bool {
    TRACING.load(Ordering::Relaxed)
}

impl Exporters {
    /// Begins to export what the variables say. None if they do not say where to.
    ///
    /// # Errors
    ///
    /// Variables that can't be followed.
    pub(crate) fn start() -> Result<Option<Self>, UsageError> {
        let Settings { traces, metrics } = Settings::read(|name| std::env::var(name).ok())?;
        if !traces && !metrics {
            return Ok(None);
        }
        let outage = Arc::<Outage>::default();
        let refused = |error: ExporterBuildError| UsageError(format!("OpenTelemetry (OTEL_EXPORTER_OTLP_…): {error}"));
        // For exports over TLS; one that was set before is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tracer = traces.then(|| SpanExporter::builder().with_http().build()).transpose().map_err(refused)?;
        let meter = metrics.then(|| MetricExporter::builder().with_http().build()).transpose().map_err(refused)?;
        let tracer = tracer.map(|exporter| {
            let exporter = Reporting::new(exporter, Signal::Traces, &outage);
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build()
        });
        let meter = meter.map(|exporter| {
            let exporter = Reporting::new(exporter, Signal::Metrics, &outage);
            SdkMeterProvider::builder().with_periodic_exporter(exporter).with_resource(resource()).build()
        });
        if let Some(meter) = &meter {
            opentelemetry::global::set_meter_provider(meter.clone());
        }
        TRACING.store(tracer.is_some(), Ordering::Relaxed);
        Ok(Some(Self { tracer, meter }))
    }

    /// What makes spans of this process's own into spans that are exported; whatever is logged is none of them.
    pub(crate) fn layer<S>(&self) -> Option<Box<dyn Layer<S> + Send + Sync>>
    where
        S: tracing::Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
    {
        let tracer = self.tracer.as_ref()?.tracer("evenfold");
        let spans = FilterFn::new(is_exported).with_max_level_hint(LevelFilter::DEBUG);
        let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
        Some(layer.with_target(false).with_tracked_inactivity(false).with_filter(spans).boxed())
    }

    /// Exports what is left, for as long as that may take.
    pub(crate) fn end(self) {
        let Self { tracer, meter } = self;
        let (done, ended) = mpsc::channel();
        let (of_tracer, of_meter) = (done.clone(), done);
        // Each waits by itself, and one of them has no limit that can be set.
        std::thread::spawn(move || {
            let _reported = tracer.map(|tracer| tracer.shutdown_with_timeout(FLUSHED_WITHIN));
            let _nobody = of_tracer.send(());
        });
        std::thread::spawn(move || {
            let _reported = meter.map(|meter| meter.shutdown());
            let _nobody = of_meter.send(());
        });
        let deadline = Instant::now() + FLUSHED_WITHIN;
        while ended.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
    }
}

/// Spans of batches and requests. That of a worker lasts as long as the worker, and would be one trace of everything.
fn is_exported(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("evenfold") && metadata.name() != "worker"
}

/// Who exports. The variables beat what is set here.
fn resource() -> Resource {
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|all| all.contains("service.name="));
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if named { resource.build() } else { resource.with_service_name("evenfold").build() }
}
