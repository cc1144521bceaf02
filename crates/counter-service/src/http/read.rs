//! Reading one counter, and those of the highest values.

use super::error::{ApiError, ErrorCode};
use super::state::State;
use super::value::{Counter, EXAMPLE_COUNTER, EXAMPLE_NAME, Name, answer, id_in, json, write_json};
use crate::{MAX_TOP, is_top};
use axum::response::Response;
use evenfold_http::documented::{Documented, DocumentedAnswer, number};
use evenfold_http::inflight::Place;
use evenfold_http::route::Call;
use utoipa::ToSchema;

/// How many counters an answer lists that was not asked for a number.
const DEFAULT_TOP: usize = 20;

/// What a counter that is listed takes up at most, in memory and in the answer: a name of 256 bytes, each of which can
/// be escaped.
const LISTED: usize = 1024;

pub(super) fn read_documented(documented: Documented) -> Documented {
    documented
        .operation("read", "counters", "Read a counter")
        .description(
            "All increments that were answered before are in the value. A counter that nobody has incremented stands \
             at 0.",
        )
        .inline_in_path::<Name>("The counter, percent-encoded.", EXAMPLE_NAME)
        .answer(200, DocumentedAnswer::json::<Counter>("What it stands at.", EXAMPLE_COUNTER))
}

pub(super) async fn read(call: Call<State>, place: Place) -> Result<Response, ApiError> {
    let id = id_in(&call.head)?;
    let counted = call.state.node().get(&id).await?;
    Ok(answer(&id, counted, place))
}

/// The counters of the highest values, the highest first.
//
// For the document: answers are written by hand.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) struct Counters {
    counters: Vec<Ranked>,
}

/// One of them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
struct Ranked {
    #[schema(rename = "counter_id")]
    id: String,
    value: i64,
}

const EXAMPLE_TOP: &str = r#"{"counters": [{"counter_id": "my-counter", "value": 5}]}"#;

pub(super) fn top_documented(documented: Documented) -> Documented {
    let top = number().minimum(Some(1)).maximum(Some(MAX_TOP));
    documented
        .operation("top", "counters", "The counters of the highest values")
        .description("Of all shards and nodes; of equal ones the name that comes first.")
        .in_query("top", top, "How many; 20 without.", 20)
        .answer(200, DocumentedAnswer::json::<Counters>("The highest first.", EXAMPLE_TOP))
}

pub(super) async fn top(call: Call<State>, mut place: Place) -> Result<Response, ApiError> {
    let (state, limit) = (&call.state, limit(call.head.query())?);
    place.resize(limit * LISTED)?;
    let counters = state.node().top(limit).await?;
    let mut out = b"{\"counters\":[".to_vec();
    for (at, (id, value)) in counters.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",{\"counter_id\":" } else { b"{\"counter_id\":" });
        write_json(&mut out, id.as_str());
        out.extend_from_slice(b",\"value\":");
        write_json(&mut out, value);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(json(out, place))
}

/// How many counters a query asks for. What else it has means nothing here.
fn limit(query: &str) -> Result<usize, ApiError> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut given = pairs.filter(|(name, _)| *name == "top").map(|(_, value)| value);
    let wrong = |message: String| ApiError::new(ErrorCode::InvalidQuery, message);
    let Some(value) = given.next() else { return Ok(DEFAULT_TOP) };
    if given.next().is_some() {
        return Err(wrong("give top once".to_owned()));
    }
    // Rust would also read a sign.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let limit = value.parse().ok().filter(|limit| digits && is_top(*limit));
    limit.ok_or_else(|| wrong(format!("top is a number from 1 to {MAX_TOP}, as in ?top=20")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_is_given_once_from_1_to_1000() {
        for (query, expected) in [("", 20), ("top=1", 1), ("a=b&top=1000&c", 1000), ("topmost=5", 20)] {
            assert_eq!(limit(query).unwrap(), expected, "{query}");
        }
        for wrong in ["top", "top=", "top=0", "top=1001", "top=+5", "top=-1", "top=5.0", "top=5&top=5", "top=%35"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
