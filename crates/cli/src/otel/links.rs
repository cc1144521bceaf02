//! Which traces belong together: a batch is linked to what its events were caused by, and a request is a part of the
//! trace of whoever asks.

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::collections::HashMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Links a span to a `traceparent`, if it is one.
pub(crate) fn link(span: &Span, traceparent: &str) {
    span.add_link(remote(traceparent).span().span_context().clone());
}

/// The context that a `traceparent` names; one without a span if it is none.
fn remote(traceparent: &str) -> opentelemetry::Context {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &carrier)
}

/// Puts the span of a request below whoever asks, and gives the span itself, for whatever the request causes.
#[cfg(any(feature = "cache", feature = "serve"))]
pub(crate) fn continue_trace(
    span: &Span,
    parent: Option<evenfold_http::Traceparent>,
) -> Option<evenfold_http::Traceparent> {
    if let Some(parent) = parent {
        // Fails where spans are not exported, and then the request's own is passed on.
        let _ = span.set_parent(remote(&parent.to_string()));
    }
    traceparent(span.context().span().span_context())?.parse().ok()
}

#[cfg(any(feature = "cache", feature = "serve"))]
fn traceparent(span: &SpanContext) -> Option<String> {
    let flags = span.trace_flags().to_u8();
    span.is_valid().then(|| format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()))
}
