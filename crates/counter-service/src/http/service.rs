//! The counters as an HTTP service: its options, its routes, its document.

use super::docs::ABOUT;
use super::error::ErrorCode;
use super::health::is_ready;
use super::metrics::{MetricsService, figures_text};
use super::routes;
use super::state::{ServiceOptions, State};
use crate::Node;
use axum::body::Body;
use axum::http::{Request, Response};
use evenfold_http::about::About;
use evenfold_http::auth::Gate;
use evenfold_http::error::NoDetails;
use evenfold_http::metrics::Requests;
use evenfold_http::route::{Route, Service};
use evenfold_http::{Respond, Router};
use hyper::body::Incoming;
use std::fmt;
use std::sync::Arc;

/// Nodes of the counter service over HTTP, to be [served](evenfold_http::serve). Clones are cheap, and are the same
/// service.
#[derive(Clone)]
pub struct CounterService(Router<State>);

impl CounterService {
    /// A service of these nodes, which stay their caller's: stopping them is up to the caller, after the service.
    /// Requests enter through them in turn.
    ///
    /// # Panics
    ///
    /// Without a node.
    #[must_use]
    pub fn new(nodes: Vec<Node>, options: ServiceOptions) -> Self {
        assert!(!nodes.is_empty(), "a service has at least one node");
        Self(Router::new(Arc::new(State::new(nodes, options))))
    }

    /// The figures of this service and its nodes, for a listener of their own.
    #[must_use]
    pub fn metrics(&self) -> MetricsService {
        MetricsService::new(Arc::clone(self.0.state()))
    }

    /// The same figures, in `OpenMetrics` text.
    ///
    /// # Errors
    ///
    /// Never in practice: they are constants and numbers.
    pub fn figures(&self) -> Result<String, fmt::Error> {
        figures_text(self.0.state())
    }

    /// Whether requests can be answered, and the workers of the service fold; or why not, in a sentence.
    ///
    /// # Errors
    ///
    /// The sentence.
    pub fn is_ready(&self) -> Result<(), String> {
        is_ready(self.0.state())
    }
}

impl Respond for CounterService {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        self.0.respond(request).await
    }
}

impl Service for State {
    type Code = ErrorCode;
    type Details = NoDetails;
    const ABOUT: Option<About> = Some(ABOUT);
    const ROUTES: &'static [Route<Self>] = routes::ROUTES;

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn requests(&self) -> &Requests {
        &self.requests
    }
}
