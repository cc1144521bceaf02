//! What a probe is answered.

use axum::Json;
use axum::body::Body;
use axum::http::Response;
use axum::response::IntoResponse;
use serde::Serialize;

#[derive(Serialize)]
struct Alive {
    alive: bool,
}

/// Of what it was found out that all is well: nothing at all is none of it.
#[derive(Serialize)]
struct WorkersReady {
    ready: bool,
    workers: usize,
}

#[derive(Serialize)]
struct ProjectionsReady {
    ready: bool,
    projections: usize,
    classes: usize,
}

/// The process answers.
pub(crate) fn alive() -> Response<Body> {
    Json(Alive { alive: true }).into_response()
}

/// So many workers do their work, or wait for others who do.
pub(crate) fn workers_ready(workers: usize) -> Response<Body> {
    Json(WorkersReady { ready: true, workers }).into_response()
}

/// Somebody works on every class of so many projections.
pub(crate) fn projections_ready(projections: usize, classes: usize) -> Response<Body> {
    Json(ProjectionsReady { ready: true, projections, classes }).into_response()
}
