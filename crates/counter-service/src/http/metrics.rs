//! The listener for Prometheus.

use super::error::{ApiError, ErrorCode};
use super::figures::Scrape;
use super::state::State;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use evenfold_http::about::About;
use evenfold_http::auth::{Access, Gate, Scheme};
use evenfold_http::error::NoDetails;
use evenfold_http::metrics::{Requests, answer, text};
use evenfold_http::route::{Handler, Method, Route, Service};
use evenfold_http::{Respond, Router};
use hyper::body::Incoming;
use std::fmt;
use std::sync::Arc;

/// The figures of a [`CounterService`](super::CounterService) and its nodes at `/metrics`, for Prometheus, to be
/// [served](evenfold_http::serve) on a port of their own; they need no token. Every name starts with
/// `evenfold_counter_`. Clones are cheap, and are the same service.
#[derive(Clone)]
pub struct MetricsService(Router<Figures>);

/// What there is besides the service: its figures.
pub(super) struct Figures {
    of: Arc<State>,
    gate: Gate,
    requests: Requests,
}

/// What is on the port of the figures. It is not among the operations of the service.
const FIGURES: &[Route<Figures>] = &[Route {
    method: Method::Get,
    path: "/metrics",
    name: "metrics",
    access: Access::Open,
    handler: Handler::Unlimited(|call| Box::pin(async move { figures(&call.state, call.head.headers()) })),
    errors: &[],
    documented: None,
}];

impl Service for Figures {
    type Code = ErrorCode;
    type Details = NoDetails;
    const ABOUT: Option<About> = None;
    const ROUTES: &'static [Route<Self>] = FIGURES;

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn requests(&self) -> &Requests {
        &self.requests
    }
}

impl MetricsService {
    pub(super) fn new(state: Arc<State>) -> Self {
        let (gate, requests) = (Gate { scheme: Scheme::Bearer, auth: None }, Requests::of::<Figures>());
        Self(Router::new(Arc::new(Figures { of: state, gate, requests })))
    }
}

impl Respond for MetricsService {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        self.0.respond(request).await
    }
}

fn figures(state: &Figures, headers: &HeaderMap) -> Result<Response<Body>, ApiError> {
    let text = figures_text(&state.of);
    let text = text.map_err(|_| ApiError::new(ErrorCode::Internal, "the figures could not be written"))?;
    Ok(answer(headers, &[text], None))
}

pub(super) fn figures_text(state: &Arc<State>) -> Result<String, fmt::Error> {
    text("evenfold_counter", Scrape::of(Arc::clone(state)))
}
