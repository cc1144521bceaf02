//! Spans of `tracing`: one for each batch that a worker applies, with links to what has caused its events.
//!
//! Where nobody listens, none of it is done: not even the metadata of events is read.

use super::options::LinkTo;
use crate::class::Class;
use crate::log::EventBuffer;
use crate::number::Position;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;
use tracing::Span;
use tracing::field::{Empty, display};

/// The most links of a batch: a span is one message to whatever collects it.
pub const MAX_LINKS: usize = 32;

/// The key in the metadata of an event.
const KEY: &str = "\"traceparent\"";

/// What a batch was caused by, as far as its metadata says that.
#[derive(Deserialize)]
struct Cause<'a> {
    #[serde(borrow)]
    traceparent: Cow<'a, str>,
}

/// The span of a worker, for its log lines. It lasts as long as the worker does.
pub(super) fn worker(projection: &str, partition: Class) -> Span {
    tracing::info_span!("worker", projection, %partition)
}

/// The span of one transaction, whose fields are known when it [ends](committed).
pub(super) fn batch(projection: &str, partition: Class) -> Span {
    tracing::info_span!(
        "batch",
        projection,
        %partition,
        events = Empty,
        parked = Empty,
        first_position = Empty,
        last_position = Empty,
        coordination_ms = Empty,
        compute_ms = Empty,
        error = Empty,
        otel.status_code = Empty,
    )
}

/// The span of a part of a batch.
pub(super) fn apply(events: usize) -> Span {
    tracing::debug_span!("apply", events = i64::try_from(events).unwrap_or(i64::MAX))
}

/// The span of its commit.
pub(super) fn commit() -> Span {
    tracing::debug_span!("commit")
}

/// What was committed.
pub(super) struct Committed {
    pub(super) events: u64,
    pub(super) parked: u64,
    pub(super) positions: (Position, Position),
    /// All of the time that it took, and the part of that in which events were decoded and folded.
    pub(super) elapsed: Duration,
    pub(super) compute: Duration,
}

/// Writes down what the batch of this span has done.
pub(super) fn committed(span: &Span, done: &Committed) {
    if span.is_disabled() {
        return;
    }
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    // What collects spans knows signed numbers only.
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    span.record("events", count(done.events)).record("parked", count(done.parked));
    span.record("first_position", done.positions.0.get()).record("last_position", done.positions.1.get());
    span.record("compute_ms", millis(done.compute));
    span.record("coordination_ms", millis(done.elapsed.saturating_sub(done.compute)));
}

/// Writes down why the batch of this span was not committed.
pub(super) fn failed(span: &Span, error: &dyn std::fmt::Display) {
    span.record("error", display(error)).record("otel.status_code", "ERROR");
}

/// The links of one batch.
pub(super) struct Links {
    link: Option<LinkTo>,
    linked: HashSet<String>,
}

impl Links {
    /// None yet; and none at all where nobody wants them.
    pub(super) fn new(link: Option<LinkTo>) -> Self {
        Self { link, linked: HashSet::new() }
    }

    /// Links the span to what has caused these events: each cause once, and the first ones only.
    pub(super) fn add(&mut self, span: &Span, events: &EventBuffer) {
        let Some(link) = self.link.filter(|_| !span.is_disabled()) else { return };
        let metadata = events.events().filter_map(|event| event.envelope?.metadata);
        for cause in metadata.filter_map(traceparent) {
            if self.linked.len() == MAX_LINKS {
                return;
            }
            if !self.linked.contains(&*cause) {
                link(span, &cause);
                self.linked.insert(cause.into_owned());
            }
        }
    }
}

fn traceparent(metadata: &str) -> Option<Cow<'_, str>> {
    // Metadata may be large, and most have none. An array would be read as the fields in their order.
    let may_have = metadata.contains(KEY) && metadata.trim_start().starts_with('{');
    may_have.then(|| serde_json::from_str::<Cause<'_>>(metadata).ok())?.map(|cause| cause.traceparent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_an_event_is_a_text_of_its_metadata() {
        let cases = [
            (r#"{"user": "a", "traceparent": "00-1-2-01"}"#, Some("00-1-2-01")),
            (r#"{"traceparent": "a\u0062"}"#, Some("ab")),
            (r#"{"traceparent": 5}"#, None),
            (r#"{"traceparent": null}"#, None),
            (r#"{"tracing": {"traceparent": "00"}}"#, None),
            (r#"["traceparent"]"#, None),
            (r#"{"a": "traceparent"}"#, None),
            ("null", None),
        ];
        for (metadata, expected) in cases {
            assert_eq!(traceparent(metadata).as_deref(), expected, "{metadata}");
        }
    }
}
