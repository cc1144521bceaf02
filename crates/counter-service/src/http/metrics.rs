//! The listener for Prometheus.

use super::error::{ApiError, ErrorCode};
use super::figures::Scrape;
use super::service::unknown_path;
use super::state::State;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, header};
use axum::response::IntoResponse;
use evenfold_http::Respond;
use evenfold_http::metrics::answer;
use hyper::body::Incoming;
use std::sync::Arc;

/// The figures of a [`CounterService`](super::CounterService) and its nodes at `/metrics`, in `OpenMetrics` text, to be
/// [served](evenfold_http::serve) on a port of their own; they need no token. Every name starts with `evenfold_counter_`.
/// Clones are cheap, and are the same service.
#[derive(Clone)]
pub struct MetricsService {
    state: Arc<State>,
}

impl MetricsService {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state }
    }
}

impl Respond for MetricsService {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() != "/metrics" {
            return unknown_path().await.into_response();
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let error = ApiError::new(ErrorCode::MethodNotAllowed, "the figures can only be read");
            let mut response = error.into_response();
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let scrape = Scrape::of(Arc::clone(&self.state));
        answer("evenfold_counter", scrape)
            .unwrap_or_else(|_| ApiError::new(ErrorCode::Internal, "the figures could not be written").into_response())
    }
}
