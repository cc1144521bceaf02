//! Probes: alive, and ready.

use super::error::{ApiError, ErrorCode};
use super::state::State;
use crate::ShardHealth;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use evenfold_http::documented::{Documented, DocumentedAnswer};
use serde::Serialize;
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

const EXAMPLE_HEALTHY: &str =
    r#"{"healthy": true, "shards": [{"shard": 0, "answers": true, "depth": 0, "entries": 1, "bytes": 512}]}"#;

const EXAMPLE_SILENT: &str =
    r#"{"healthy": false, "shards": [{"shard": 0, "answers": false, "depth": 4096, "entries": 0, "bytes": 0}]}"#;

pub(super) fn healthz_documented(documented: Documented) -> Documented {
    documented
        .operation("healthz", "watching", "Alive?")
        .description("Asks the actor of each shard.")
        .answer(200, DocumentedAnswer::json::<Health>("Every shard answers.", EXAMPLE_HEALTHY))
        .answer(503, DocumentedAnswer::json::<Health>("At least one shard does not answer.", EXAMPLE_SILENT))
}

pub(super) async fn healthz(state: &State) -> Response {
    let shards: Vec<Shard> = state.cache.health(state.request_timeout).await.into_iter().map(Shard::from).collect();
    let healthy = shards.iter().all(|shard| shard.answers);
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Health { healthy, shards })).into_response()
}

pub(super) fn readyz_documented(documented: Documented) -> Documented {
    documented
        .operation("readyz", "watching", "Ready for changes?")
        .answer(200, DocumentedAnswer::json::<Ready>("Changes are accepted.", r#"{"ready": true}"#))
}

pub(super) fn readyz(state: &State) -> Result<Response, ApiError> {
    if state.cache.is_ready() {
        return Ok(Json(Ready { ready: true }).into_response());
    }
    Err(ApiError::new(ErrorCode::Maintenance, "changes are not accepted now; POST /v1/admin/resume ends maintenance"))
}
