//! A counter in a path, and as JSON.

use super::error::{ApiError, ErrorCode};
use crate::{CounterId, CounterValue};
use axum::http::header;
use axum::response::Response;
use evenfold_http::answer::body;
use evenfold_http::error::JSON;
use evenfold_http::inflight::Place;
use evenfold_http::percent::decoded;
use evenfold_http::route::Head;
use utoipa::ToSchema;

/// Text of 1 to 256 bytes in UTF-8, without control characters.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 256, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$")]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) struct Name(String);

/// What a counter stands at.
//
// For the document: answers are written by hand.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) struct Counter {
    #[schema(rename = "counter_id")]
    id: String,
    /// The sum of its increments.
    value: i64,
    /// How many increments it has had.
    version: i64,
}

/// A counter, as the document has it.
pub(super) const EXAMPLE_NAME: &str = "my-counter";

/// What it stands at.
pub(super) const EXAMPLE_COUNTER: &str = r#"{"counter_id": "my-counter", "value": 5, "version": 1}"#;

/// What an answer has besides the name: names of fields, and two numbers of up to 20 digits.
const AROUND_A_NAME: usize = 80;

/// The counter that a path is about: percent-encoded UTF-8.
pub(super) fn id_in(head: &Head) -> Result<CounterId, ApiError> {
    decode(head.parameter())
}

fn decode(encoded: &str) -> Result<CounterId, ApiError> {
    let wrong = |error| ApiError::new(ErrorCode::InvalidId, format!("the counter's name can't be used: {error}"));
    let name = decoded(encoded).map_err(wrong)?;
    Ok(CounterId::new(&name)?)
}

/// Adds what a counter stands at, as JSON.
///
/// Written by hand: almost every answer goes through here.
pub(super) fn write(out: &mut Vec<u8>, id: &CounterId, counted: CounterValue) {
    out.reserve(id.as_str().len() + AROUND_A_NAME);
    out.extend_from_slice(b"{\"counter_id\":");
    write_json(out, id.as_str());
    out.extend_from_slice(b",\"value\":");
    write_json(out, &counted.value);
    out.extend_from_slice(b",\"version\":");
    write_json(out, &counted.version);
    out.push(b'}');
}

/// A number or a text: writing it to memory does not fail.
pub(super) fn write_json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let _ = serde_json::to_writer(out, value);
}

/// An answer that is JSON, with the place that its request has had.
pub(super) fn json(text: Vec<u8>, place: Place) -> Response {
    let mut response = Response::new(body(text, place));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// An answer that is what a counter stands at.
pub(super) fn answer(id: &CounterId, counted: CounterValue, place: Place) -> Response {
    let mut out = Vec::new();
    write(&mut out, id, counted);
    json(out, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn a_written_counter_is_what_a_json_reader_reads(name in "[^\\p{Cc}]{1,60}", value: i64, version: i64) {
            let mut out = Vec::new();
            write(&mut out, &CounterId::new(&name).unwrap(), CounterValue { value, version });
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(read, json!({"counter_id": name, "value": value, "version": version}));
        }

        #[test]
        fn every_name_can_be_written_in_a_path(name in "[^\\p{Cc}]{1,60}") {
            let encoded = name.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"));
            let id = decode(&encoded).unwrap();
            prop_assert_eq!(id.as_str(), name);
        }
    }

    #[test]
    fn a_text_that_is_no_name_is_refused() {
        let long = "k".repeat(257);
        for wrong in ["", "%", "%C3", "%0A", "%00", "%7F", "%C2%85", &long] {
            let refused = decode(wrong).unwrap_err();
            assert!(format!("{refused:?}").contains("InvalidId"), "{wrong}: {refused:?}");
        }
    }
}
