//! The route that increments a counter.

use super::error::{ApiError, ErrorCode};
use super::state::State;
use super::value::{Counter, EXAMPLE_COUNTER, EXAMPLE_NAME, Name, answer, id_in};
use crate::{IdempotencyKey, MAX_IDEMPOTENCY_KEY, is_amount};
use axum::http::HeaderMap;
use axum::response::Response;
use evenfold_http::body::{self, BodyError};
use evenfold_http::documented::{Documented, DocumentedAnswer, text};
use evenfold_http::inflight::Place;
use evenfold_http::route::Call;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The most bytes of a body: an amount has 20 digits, and there may be blanks around it.
pub(super) const MAX_BODY: usize = 1024;

const KEY: &str = "idempotency-key";

/// What is to be added.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Increment<'a> {
    /// A whole number of 64 bits, and not 0; negative counts down. 1 if it is left out.
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(value_type = i64, default = 1, required = false)]
    amount: Option<&'a RawValue>,
}

/// What is written as null is given, and wrong.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The amount of a body.
fn amount(body: &[u8]) -> Result<i64, ApiError> {
    if body.is_empty() {
        return Ok(1);
    }
    // The document can't say that a body may be left out without saying that it may be null.
    let Some(Increment { amount }) = body::parse::<Option<Increment<'_>>>(body)? else { return Ok(1) };
    // serde would also take the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(BodyError::Invalid("it is a list".to_owned()).into());
    }
    let Some(amount) = amount else { return Ok(1) };
    amount.get().parse().ok().filter(|amount| is_amount(*amount)).ok_or_else(|| {
        let message = "the amount is a whole number of 64 bits, and not 0, as in {\"amount\": 5}";
        ApiError::new(ErrorCode::InvalidAmount, message)
    })
}

fn key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut given = headers.get_all(KEY).iter();
    let Some(first) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(ApiError::new(ErrorCode::InvalidIdempotencyKey, "give Idempotency-Key once"));
    }
    // What is no text is no key either.
    Ok(Some(IdempotencyKey::new(first.to_str().unwrap_or_default())?))
}

pub(super) fn documented(documented: Documented) -> Documented {
    documented
        .operation("increment", "counters", "Count")
        .description(
            "Answered once it is counted, with the value that this increment has made. The type of the body does not \
             matter.",
        )
        .inline_in_path::<Name>("The counter, percent-encoded; it need not be there before.", EXAMPLE_NAME)
        .header(
            "Idempotency-Key",
            text().min_length(Some(1)).max_length(Some(MAX_IDEMPOTENCY_KEY)).pattern(Some("^[!-~]+$")),
            "A UUID, or another text of visible ASCII characters, that no other increment has: a request that is \
             repeated with its key is counted once, and answered alike.",
            "order-4711",
        )
        .optional_body::<Increment<'_>>(r#"{"amount": 5}"#)
        .answer(200, DocumentedAnswer::json::<Counter>("It is counted.", EXAMPLE_COUNTER))
}

pub(super) async fn increment(call: Call<State>, mut place: Place) -> Result<Response, ApiError> {
    let Call { state, head, body } = call;
    let id = id_in(&head)?;
    let key = key(head.headers())?;
    let amount = amount(&body::read(body, MAX_BODY, state.body_timeout, &mut place).await?)?;
    let counted = state.node().increment_caused_by(head.traceparent(), &id, amount, key).await?;
    Ok(answer(&id, counted, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn code(error: &ApiError) -> String {
        serde_json::to_value(error).unwrap()["code"].as_str().unwrap().to_owned()
    }

    #[test]
    fn an_amount_is_a_whole_number_other_than_0() {
        for (body, expected) in [
            ("", 1),
            ("{}", 1),
            ("null", 1),
            (" {\"amount\": 5} ", 5),
            ("{\"amount\":-3}", -3),
            ("{\"amount\":9223372036854775807}", i64::MAX),
            ("{\"amount\":-9223372036854775808}", i64::MIN),
        ] {
            assert_eq!(amount(body.as_bytes()).unwrap(), expected, "{body}");
        }
        for (body, expected) in [
            ("{", "malformed_json"),
            ("{} 5", "malformed_json"),
            ("amount=5", "malformed_json"),
            ("{\"amount\":05}", "malformed_json"),
            ("5", "invalid_body"),
            ("[]", "invalid_body"),
            (" [5]", "invalid_body"),
            ("{\"amont\":5}", "invalid_body"),
            ("{\"amount\":5,\"amount\":5}", "invalid_body"),
            ("{\"amount\":0}", "invalid_amount"),
            ("{\"amount\":-0}", "invalid_amount"),
            ("{\"amount\":null}", "invalid_amount"),
            ("{\"amount\":\"5\"}", "invalid_amount"),
            ("{\"amount\":1.0}", "invalid_amount"),
            ("{\"amount\":1e2}", "invalid_amount"),
            ("{\"amount\":9223372036854775808}", "invalid_amount"),
        ] {
            assert_eq!(code(&amount(body.as_bytes()).unwrap_err()), expected, "{body}");
        }
    }

    #[test]
    fn a_key_is_given_once_and_is_one() {
        let headers = |all: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in all {
                headers.append(KEY, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            headers
        };
        assert_eq!(key(&headers(&[])).unwrap(), None);
        assert_eq!(key(&headers(&["order-1"])).unwrap(), Some(IdempotencyKey::new("order-1").unwrap()));
        for wrong in [&[""][..], &["a b"], &["\u{e9}"], &["a", "a"]] {
            assert_eq!(code(&key(&headers(wrong)).unwrap_err()), "invalid_idempotency_key", "{wrong:?}");
        }
    }
}
