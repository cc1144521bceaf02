//! What every process shows: its routes, and what a probe is answered.

use crate::error::ErrorCode;
use axum::Json;
use axum::body::Body;
use axum::http::Response;
use axum::response::IntoResponse;
use evenfold_http::auth::Access;
use evenfold_http::error::NoDetails;
use evenfold_http::route::{Answering, Call, Handler, LIVEZ, Method, READYZ, Route, Service};
use serde::Serialize;

/// What answers one of them.
type Answer<S> = fn(Call<S>) -> Answering<S>;

/// `/metrics`, `/livez` and `/readyz`, which need no token and are answered whatever there is to do.
pub(crate) const fn routes<S>(metrics: Answer<S>, readyz: Answer<S>) -> [Route<S>; 3]
where
    S: Service<Code = ErrorCode, Details = NoDetails>,
{
    [
        route("/metrics", "metrics", metrics, &[]),
        route(LIVEZ, "health", |_| Box::pin(async { Ok(alive()) }), &[]),
        route(READYZ, "health", readyz, &[&[ErrorCode::NotReady]]),
    ]
}

const fn route<S: Service<Code = ErrorCode>>(
    path: &'static str,
    name: &'static str,
    answer: Answer<S>,
    errors: &'static [&'static [ErrorCode]],
) -> Route<S> {
    let (method, access, handler) = (Method::Get, Access::Open, Handler::Unlimited(answer));
    Route { method, path, name, access, handler, errors, documented: None }
}

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
fn alive() -> Response<Body> {
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
