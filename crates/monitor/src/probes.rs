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

#[derive(Serialize)]
struct Ready {
    ready: bool,
}

/// The process answers.
pub(crate) fn alive() -> Response<Body> {
    Json(Alive { alive: true }).into_response()
}

/// What the process is for is done.
pub(crate) fn ready() -> Response<Body> {
    Json(Ready { ready: true }).into_response()
}
