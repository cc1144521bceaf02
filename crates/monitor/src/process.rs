//! The probes and figures of a process that folds.

use crate::error::{ApiError, ErrorCode};
use crate::figures::WorkerFigures;
use crate::{probes, readiness};
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use evenfold::projection::{Process, ProcessWorker};
use evenfold_http::about::About;
use evenfold_http::auth::{Gate, Scheme};
use evenfold_http::error::NoDetails;
use evenfold_http::metrics::{Requests, answer, text};
use evenfold_http::route::{Route, Service};
use evenfold_http::{Respond, Router};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;

/// What else a process is for, besides its workers.
#[derive(Clone)]
pub struct OtherWork {
    /// Its figures, in `OpenMetrics` text.
    pub figures: Arc<dyn Fn() -> Result<String, std::fmt::Error> + Send + Sync>,
    /// Whether it is done, or why not.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// What a process shows that folds, to be [served](evenfold_http::serve): `/livez`, `/readyz` and `/metrics`, without a
/// token. Clones are cheap, and are the same service.
#[derive(Clone)]
pub struct ProcessService(Router<Shown>);

/// What all requests share.
struct Shown {
    process: Option<Process>,
    oldest_step: Duration,
    other: Option<OtherWork>,
    gate: Gate,
    requests: Requests,
}

const ROUTES: &[Route<Shown>] = &probes::routes(
    |call| Box::pin(async move { metrics(&call.state, call.head.headers()) }),
    |call| Box::pin(async move { readyz(&call.state) }),
);

impl Service for Shown {
    type Code = ErrorCode;
    type Details = NoDetails;
    const ABOUT: Option<About> = None;
    const ROUTES: &'static [Route<Self>] = ROUTES;

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn requests(&self) -> &Requests {
        &self.requests
    }
}

impl ProcessService {
    /// Shows the workers of this process, and what else it is for. It is not ready while a worker has not finished a
    /// step for so long, and does not wait for others; nor without any, if it is for nothing else.
    #[must_use]
    pub fn new(process: Option<&Process>, oldest_step: Duration, other: Option<OtherWork>) -> Self {
        let (process, gate) = (process.cloned(), Gate { scheme: Scheme::Bearer, auth: None });
        Self(Router::new(Arc::new(Shown { process, oldest_step, other, gate, requests: Requests::of::<Shown>() })))
    }
}

impl Shown {
    fn workers(&self) -> Vec<ProcessWorker> {
        self.process.as_ref().map(Process::workers).unwrap_or_default()
    }
}

impl Respond for ProcessService {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        self.0.respond(request).await
    }
}

fn metrics(shown: &Shown, headers: &HeaderMap) -> Result<Response<Body>, ApiError> {
    let mut texts = vec![text("evenfold", WorkerFigures(shown.workers()))];
    texts.extend(shown.other.iter().map(|other| (other.figures)()));
    let texts: Result<Vec<String>, _> = texts.into_iter().collect();
    Ok(answer(headers, &texts.map_err(|_| unwritten())?, None))
}

/// Of constants and numbers.
pub(crate) fn unwritten() -> ApiError {
    ApiError::new(ErrorCode::Internal, "the figures could not be written")
}

fn readyz(shown: &Shown) -> Result<Response<Body>, ApiError> {
    let workers = shown.workers();
    let ready = match &shown.other {
        Some(other) if workers.is_empty() => (other.ready)(),
        Some(other) => readiness::ready(&workers, shown.oldest_step).and_then(|()| (other.ready)()),
        None => readiness::ready(&workers, shown.oldest_step),
    };
    ready.map_err(|why| ApiError::new(ErrorCode::NotReady, why))?;
    Ok(probes::workers_ready(workers.len()))
}
