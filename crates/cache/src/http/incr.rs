//! Counting up and down.

use super::error::ApiError;
use super::key::{self, Key};
use super::kv::changed;
use super::state::State;
use axum::http::StatusCode;
use axum::response::Response;
use evenfold_http::body;
use evenfold_http::documented::{Documented, DocumentedAnswer};
use evenfold_http::inflight::Place;
use evenfold_http::route::Call;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// What is to be counted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Count<'a> {
    /// The key; an absent one counts from 0.
    #[serde(borrow)]
    #[schema(value_type = Key)]
    key: Cow<'a, str>,
    /// What is added; negative counts down.
    delta: i64,
}

/// The sum.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CountAnswer {
    /// The sum.
    value: i64,
    /// The new version, which the ETag has too.
    version: u64,
}

pub(super) fn documented(documented: Documented) -> Documented {
    let sum = DocumentedAnswer::json::<CountAnswer>("The sum.", r#"{"value": 1, "version": 44}"#);
    documented
        .operation("incr", "keys", "Count")
        .description("Adds to a whole number of 64 bits, in one step. The time to live stays as it is.")
        .body::<Count<'_>>(r#"{"key": "visits", "delta": 1}"#)
        .answer(200, sum.header("ETag", "The new version in quotes."))
}

pub(super) async fn incr(call: Call<State>, mut place: Place) -> Result<Response, ApiError> {
    let Call { state, body, .. } = call;
    let body = body::read(body, state.max_body, state.request_timeout, &mut place).await?;
    let Count { key, delta } = body::parse(&body)?;
    key::check(&key)?;
    let counted = state.cache.incr(&key, delta).await?;
    let done = CountAnswer { value: counted.value, version: counted.version };
    Ok(changed(StatusCode::OK, counted.version, &done, place))
}
