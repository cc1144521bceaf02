//! Probes: alive, and ready.

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::state::State;
use crate::ShardHealth;
use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Whether every shard answers.
    healthy: bool,
    shards: Vec<Shard>,
}

/// How one shard is.
#[derive(Debug, Serialize, ToSchema)]
struct Shard {
    /// From 0.
    #[serde(rename = "shard")]
    number: u32,
    /// Whether its actor answered within `REQUEST_TIMEOUT_MS`.
    answers: bool,
    /// How many messages wait for it.
    depth: usize,
    /// How many entries it has.
    entries: u64,
    /// How many bytes of the memory budget they take up.
    bytes: u64,
}

impl From<ShardHealth> for Shard {
    fn from(ShardHealth { shard, answers, depth, entries, bytes }: ShardHealth) -> Self {
        Self { number: shard, answers, depth, entries, bytes }
    }
}

/// Whether changes are accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    ready: bool,
}

/// Alive?
///
/// Asks the actor of each shard.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "watching",
    responses(
        (status = 200, description = "Every shard answers.", body = Health),
        (status = 503, description = "At least one shard does not answer.", body = Health),
    ),
)]
pub(super) async fn healthz(Shared(state): Shared<Arc<State>>) -> Response {
    let shards: Vec<Shard> = state.cache.health(state.request_timeout).await.into_iter().map(Shard::from).collect();
    let healthy = shards.iter().all(|shard| shard.answers);
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Health { healthy, shards })).into_response()
}

/// Ready for changes?
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "watching",
    responses(
        (status = 200, description = "Changes are accepted.", body = Ready),
        (status = 503, description = "`maintenance`", body = ErrorBody,
            headers(("Retry-After" = u64, description = "Seconds."))),
    ),
)]
pub(super) async fn readyz(Shared(state): Shared<Arc<State>>) -> Result<Json<Ready>, ApiError> {
    if state.cache.is_ready() {
        Ok(Json(Ready { ready: true }))
    } else {
        Err(ApiError::new(
            ErrorCode::Maintenance,
            "changes are not accepted now; POST /v1/admin/resume ends maintenance",
        ))
    }
}
