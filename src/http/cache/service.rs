use super::error::{ApiError, ErrorCode};
use super::route::{KV, Route};
use super::state::{ServiceOptions, State};
use super::{admin, batch, docs, health, incr, kv, metrics};
use crate::cache::Cache;
use crate::http::Respond;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Instant;
use tower_service::Service;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A cache as an HTTP service, to be [served](crate::http::serve). Clones are cheap, and are the same service.
#[derive(Clone)]
pub struct CacheService {
    router: Router,
    state: Arc<State>,
}

impl CacheService {
    /// A service of this cache, which stays its caller's: stopping it is up to the caller, after the service.
    #[must_use]
    pub fn new(cache: Cache, options: ServiceOptions) -> Self {
        let state = Arc::new(State::new(cache, options));
        let (router, api) = OpenApiRouter::with_openapi(docs::about())
            .routes(routes!(kv::get, kv::put, kv::delete))
            .routes(routes!(incr::incr))
            .routes(routes!(batch::get))
            .routes(routes!(batch::set))
            .routes(routes!(batch::delete))
            .routes(routes!(admin::resize))
            .routes(routes!(admin::drain))
            .routes(routes!(admin::resume))
            .routes(routes!(health::healthz))
            .routes(routes!(health::readyz))
            .routes(routes!(metrics::metrics))
            .split_for_parts();
        // `incr` and the empty key are keys like others: one is found, the other is refused as a key.
        let key = || get(kv::get).put(kv::put).delete(kv::delete);
        let router = router
            .route("/v1/kv/incr", key())
            .route(KV, key())
            .merge(docs::routes(&api))
            .fallback(unknown_path)
            .method_not_allowed_fallback(unknown_method)
            .with_state(Arc::clone(&state));
        Self { router, state }
    }

    /// A request is let in before it is routed: what the rules say does not hang on which handler it would be.
    fn admit(&self, route: Route, headers: &HeaderMap) -> Result<Option<super::state::Place<'_>>, ApiError> {
        self.state.gate.check(route, headers)?;
        if route.limited() { self.state.enter().map(Some) } else { Ok(None) }
    }
}

impl Respond for CacheService {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let begun = Instant::now();
        let route = Route::of(request.method(), request.uri().path());
        let response = match self.admit(route, request.headers()) {
            Ok(_place) => match self.router.clone().call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Err(error) => error.into_response(),
        };
        self.state.metrics.answered(route, response.status(), begun.elapsed());
        response
    }
}

async fn unknown_path() -> ApiError {
    ApiError::new(ErrorCode::UnknownPath, "there is no such path; /docs lists those there are")
}

async fn unknown_method() -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        "the path does not have this method; the header Allow lists those it has",
    )
}
