//! Probes: alive, and ready.

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::state::State;
use axum::Json;
use axum::extract::State as Shared;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    healthy: bool,
}

/// Requests can be answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    ready: bool,
}

/// Alive?
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "watching",
    responses((status = 200, description = "The process answers.", body = Health)),
)]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { healthy: true })
}

/// Ready for requests?
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "watching",
    responses(
        (status = 200, description = "Every node of this process can answer requests.", body = Ready),
        (status = 503, description = "`not_ready`, and why", body = ErrorBody,
            headers(("Retry-After" = u64, description = "Seconds."))),
    ),
)]
pub(super) async fn readyz(Shared(state): Shared<Arc<State>>) -> Result<Json<Ready>, ApiError> {
    let all = state.nodes.iter().try_for_each(crate::service::Node::is_ready);
    all.map(|()| Json(Ready { ready: true })).map_err(|why| ApiError::new(ErrorCode::NotReady, why))
}
