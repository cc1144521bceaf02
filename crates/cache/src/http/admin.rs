//! Looking after the service: maintenance, and the number of shards.

use super::error::ApiError;
use super::responses::{AccessErrors, BodyErrors};
use super::state::State;
use axum::Json;
use axum::extract::{Request, State as Shared};
use evenfold_http::admitted::Admitted;
use evenfold_http::body;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
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

/// Change the number of shards
///
/// While the service runs; answered once it is done.
#[utoipa::path(
    post,
    path = "/v1/admin/resize",
    tag = "administration",
    request_body(content = Shards),
    responses((status = 200, description = "It is done.", body = Shards), BodyErrors),
    security((), ("token" = [])),
)]
pub(super) async fn resize(
    Shared(state): Shared<Arc<State>>,
    Admitted(mut place): Admitted,
    request: Request,
) -> Result<Json<Shards>, ApiError> {
    let body = body::read(request.into_body(), MAX_BODY, state.request_timeout, &mut place).await?;
    let Shards { shards } = body::parse(&body)?;
    state.cache.resize(shards).await?;
    tracing::info!(shards, "the number of shards was changed");
    Ok(Json(Shards { shards }))
}

/// Begin maintenance
///
/// Changes are refused with 503 from now on; answered once those that were accepted are made. Reads are answered.
#[utoipa::path(
    post,
    path = "/v1/admin/drain",
    tag = "administration",
    responses((status = 200, description = "No change is under way.", body = Maintenance), AccessErrors),
    security((), ("token" = [])),
)]
pub(super) async fn drain(Shared(state): Shared<Arc<State>>, _place: Admitted) -> Json<Maintenance> {
    state.cache.drain().await;
    // Somebody may have ended it meanwhile.
    let maintenance = !state.cache.is_ready();
    tracing::info!(maintenance, "the changes that were accepted are made");
    Json(Maintenance { maintenance })
}

/// End maintenance
#[utoipa::path(
    post,
    path = "/v1/admin/resume",
    tag = "administration",
    responses((status = 200, description = "Changes are accepted.", body = Maintenance), AccessErrors),
    security((), ("token" = [])),
)]
pub(super) async fn resume(Shared(state): Shared<Arc<State>>) -> Json<Maintenance> {
    state.cache.resume();
    tracing::info!("maintenance has ended");
    Json(Maintenance { maintenance: false })
}
