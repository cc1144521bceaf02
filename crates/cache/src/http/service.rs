use super::error::{ApiError, ErrorCode};
use super::route::{KV, Route};
use super::state::{ServiceOptions, State};
use super::{admin, batch, docs, health, incr, kv, metrics};
use crate::Cache;
use axum::Router;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Request, Response};
use axum::response::IntoResponse;
use axum::routing::get;
use evenfold_http::Respond;
use evenfold_http::admitted::Admitted;
use evenfold_http::docs::routes;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Instant;
use tower_service::Service;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A cache as an HTTP service, to be [served](evenfold_http::serve). Clones are cheap, and are the same service.
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
        let (router, api) = OpenApiRouter::with_openapi(docs::ABOUT.document())
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
            .merge(routes(&api))
            .fallback(unknown_path)
            .method_not_allowed_fallback(unknown_method)
            .with_state(Arc::clone(&state));
        Self { router, state }
    }

    /// A request is let in before it is routed: what the rules say does not hang on which handler it would be.
    fn admit(&self, route: Route, headers: &HeaderMap) -> Result<Option<Admitted>, ApiError> {
        self.state.gate.check(route.access(), headers)?;
        self.state.enter(route)
    }

    /// Reads and puts of a key are nearly all that comes: they go to their handlers past the router, which would find the
    /// same ones for more than the handlers themselves take.
    async fn answer(&self, route: Route, admitted: Option<Admitted>, mut request: Request<Incoming>) -> Response<Body> {
        let state = || Shared(Arc::clone(&self.state));
        let answered = match (route, admitted) {
            (Route::Get, Some(admitted)) if request.method() == Method::GET && names_a_key(&request) => {
                kv::get(state(), admitted, request.map(|_| Body::empty())).await
            }
            (Route::Put, Some(admitted)) if names_a_key(&request) => {
                kv::put(state(), admitted, request.map(Body::new)).await
            }
            (_, admitted) => {
                if let Some(admitted) = admitted {
                    admitted.carry(&mut request);
                }
                match self.router.clone().call(request).await {
                    Ok(response) => Ok(response),
                    Err(never) => match never {},
                }
            }
        };
        answered.unwrap_or_else(IntoResponse::into_response)
    }
}

/// Whether the path is that of a key, and of nothing below it.
fn names_a_key(request: &Request<Incoming>) -> bool {
    request.uri().path().strip_prefix(KV).is_some_and(|key| !key.contains('/'))
}

impl Respond for CacheService {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let begun = Instant::now();
        let route = Route::of(request.method(), request.uri().path());
        let response = match self.admit(route, request.headers()) {
            Ok(admitted) => self.answer(route, admitted, request).await,
            Err(error) => error.into_response(),
        };
        self.state.requests.answered(route as usize, response.status(), begun.elapsed());
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
