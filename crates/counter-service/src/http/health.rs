//! Probes: alive, and ready.

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::state::State;
use crate::Node;
use axum::Json;
use axum::extract::State as Shared;
use evenfold::projection::{Member, Phase, Trouble};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
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
        (status = 200, description = "Every node of this process can answer requests, and its workers fold the log.", body = Ready),
        (status = 503, description = "`not_ready`, and why", body = ErrorBody,
            headers(("Retry-After" = u64, description = "Seconds."))),
    ),
)]
pub(super) async fn readyz(Shared(state): Shared<Arc<State>>) -> Result<Json<Ready>, ApiError> {
    let nodes = state.nodes.iter().try_for_each(Node::is_ready);
    let all = nodes.and_then(|()| state.workers.iter().try_for_each(is_folded));
    all.map(|()| Json(Ready { ready: true })).map_err(|why| ApiError::new(ErrorCode::NotReady, why))
}

/// Whether somebody folds the partition; or why not, and when that is tried again, in a sentence.
fn is_folded(member: &Member) -> Result<(), String> {
    let Some(Trouble { why, since, next_try, .. }) = member.trouble() else { return Ok(()) };
    // With another number of partitions, others have what was this one's: requests can be answered here as before.
    if matches!(member.progress.phase(), Phase::Superseded(_)) {
        return Ok(());
    }
    let next = next_try.map_or("it is not tried again in this process".to_owned(), |next| {
        let pause = next.saturating_duration_since(Instant::now());
        format!("the next try is in {:.1} seconds", pause.as_secs_f64())
    });
    let (partition, time) = (member.partition, since.elapsed().as_secs_f64());
    Err(format!("nobody in this process has folded partition {partition} for {time:.1} seconds: {why}; {next}"))
}
