//! Probes: alive, and ready.

use super::error::{ApiError, ErrorCode};
use super::state::State;
use crate::Node;
use axum::Json;
use axum::response::{IntoResponse, Response};
use evenfold::projection::{Phase, PoolWorker, Trouble};
use evenfold_http::documented::{Documented, DocumentedAnswer};
use serde::Serialize;
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

pub(super) fn healthz_documented(documented: Documented) -> Documented {
    documented
        .operation("healthz", "watching", "Alive?")
        .answer(200, DocumentedAnswer::json::<Health>("The process answers.", r#"{"healthy": true}"#))
}

pub(super) fn healthz() -> Response {
    Json(Health { healthy: true }).into_response()
}

pub(super) fn readyz_documented(documented: Documented) -> Documented {
    let ready = "Every node of this process can answer requests, and its workers fold the log.";
    documented
        .operation("readyz", "watching", "Ready for requests?")
        .answer(200, DocumentedAnswer::json::<Ready>(ready, r#"{"ready": true}"#))
}

pub(super) fn readyz(state: &State) -> Result<Response, ApiError> {
    is_ready(state).map_err(|why| ApiError::new(ErrorCode::NotReady, why))?;
    Ok(Json(Ready { ready: true }).into_response())
}

pub(super) fn is_ready(state: &State) -> Result<(), String> {
    let nodes = state.nodes.iter().try_for_each(Node::is_ready);
    nodes.and_then(|()| state.workers.iter().try_for_each(is_folded))
}

/// Whether somebody folds the partition; or why not, and when that is tried again, in a sentence.
fn is_folded(member: &PoolWorker) -> Result<(), String> {
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
