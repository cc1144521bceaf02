//! Looking after the service: maintenance, and the number of shards.

use super::error::ApiError;
use super::state::State;
use axum::Json;
use axum::response::{IntoResponse, Response};
use evenfold_http::body;
use evenfold_http::documented::{Documented, DocumentedAnswer};
use evenfold_http::inflight::Place;
use evenfold_http::route::Call;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most bytes of a body: a number, and blanks around it.
const MAX_BODY: usize = 1024;

/// How many shards there are to be.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Shards {
    #[schema(minimum = 1, maximum = 1024)]
    shards: u32,
}

/// Whether changes are refused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Maintenance {
    maintenance: bool,
}

const EXAMPLE_SHARDS: &str = r#"{"shards": 8}"#;

pub(super) fn resize_documented(documented: Documented) -> Documented {
    documented
        .operation("resize", "administration", "Change the number of shards")
        .description("While the service runs; answered once it is done.")
        .body::<Shards>(EXAMPLE_SHARDS)
        .answer(200, DocumentedAnswer::json::<Shards>("It is done.", EXAMPLE_SHARDS))
}

pub(super) async fn resize(call: Call<State>, mut place: Place) -> Result<Response, ApiError> {
    let Call { state, body, .. } = call;
    let body = body::read(body, MAX_BODY, state.request_timeout, &mut place).await?;
    let Shards { shards } = body::parse(&body)?;
    state.cache.resize(shards).await?;
    tracing::info!(shards, "the number of shards was changed");
    Ok(Json(Shards { shards }).into_response())
}

pub(super) fn drain_documented(documented: Documented) -> Documented {
    documented
        .operation("drain", "administration", "Begin maintenance")
        .description(
            "Changes are refused with 503 from now on; answered once those that were accepted are made. Reads are \
             answered.",
        )
        .answer(200, DocumentedAnswer::json::<Maintenance>("No change is under way.", r#"{"maintenance": true}"#))
}

pub(super) async fn drain(call: Call<State>, _place: Place) -> Result<Response, ApiError> {
    let state = call.state;
    state.cache.drain().await;
    // Somebody may have ended it meanwhile.
    let maintenance = !state.cache.is_ready();
    tracing::info!(maintenance, "the changes that were accepted are made");
    Ok(Json(Maintenance { maintenance }).into_response())
}

pub(super) fn resume_documented(documented: Documented) -> Documented {
    documented
        .operation("resume", "administration", "End maintenance")
        .answer(200, DocumentedAnswer::json::<Maintenance>("Changes are accepted.", r#"{"maintenance": false}"#))
}

pub(super) fn resume(state: &State, _place: Place) -> Response {
    state.cache.resume();
    tracing::info!("maintenance has ended");
    Json(Maintenance { maintenance: false }).into_response()
}
