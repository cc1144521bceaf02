use super::error::ApiError;
use super::key::{self, Key};
use super::kv::changed;
use super::responses::BodyErrors;
use super::state::State;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use evenfold_http::admitted::Admitted;
use evenfold_http::body;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
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

/// Count
///
/// Adds to a whole number of 64 bits, in one step. The time to live stays as it is.
#[utoipa::path(
    post,
    path = "/v1/kv/incr",
    tag = "keys",
    request_body(content = Count),
    responses(
        (status = 200, description = "The sum.", body = CountAnswer,
            headers(("ETag" = String, description = "The new version in quotes."))),
        BodyErrors,
    ),
    security((), ("token" = [])),
)]
pub(super) async fn incr(
    Shared(state): Shared<Arc<State>>,
    Admitted(mut place): Admitted,
    request: Request,
) -> Result<Response, ApiError> {
    let body = body::read(request.into_body(), state.max_body, state.request_timeout, &mut place).await?;
    let Count { key, delta } = body::parse(&body)?;
    key::check(&key)?;
    let counted = state.cache.incr(&key, delta).await?;
    let done = CountAnswer { value: counted.value, version: counted.version };
    Ok(changed(StatusCode::OK, counted.version, &done, place))
}
