//! The cache as an HTTP service: its options, its routes, its document.

use super::docs::ABOUT;
use super::error::{CurrentVersion, ErrorCode};
use super::routes;
use super::state::{ServiceOptions, State};
use crate::Cache;
use axum::body::Body;
use axum::http::{Request, Response};
use evenfold_http::about::About;
use evenfold_http::auth::Gate;
use evenfold_http::metrics::Requests;
use evenfold_http::route::{Route, Service};
use evenfold_http::{Respond, Router};
use hyper::body::Incoming;
use std::sync::Arc;

/// A cache as an HTTP service, to be [served](evenfold_http::serve). Clones are cheap, and are the same service.
#[derive(Clone)]
pub struct CacheService(Router<State>);

impl CacheService {
    /// A service of this cache, which stays its caller's: stopping it is up to the caller, after the service.
    #[must_use]
    pub fn new(cache: Cache, options: ServiceOptions) -> Self {
        Self(Router::new(Arc::new(State::new(cache, options))))
    }
}

impl Respond for CacheService {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        self.0.respond(request).await
    }
}

impl Service for State {
    type Code = ErrorCode;
    type Details = CurrentVersion;
    const ABOUT: Option<About> = Some(ABOUT);
    const ROUTES: &'static [Route<Self>] = routes::ROUTES;

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn requests(&self) -> &Requests {
        &self.requests
    }
}
