use super::error::{ApiError, ErrorCode};
use super::metrics::MetricsService;
use super::route::Route;
use super::state::{ServiceOptions, State};
use super::{docs, health, increment, read, watch};
use crate::Node;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response};
use axum::response::IntoResponse;
use evenfold_http::Respond;
use evenfold_http::admitted::Admitted;
use evenfold_http::docs::routes;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Instant;
use tower_service::Service;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Nodes of the counter service over HTTP, to be [served](evenfold_http::serve). Clones are cheap, and are the same service.
#[derive(Clone)]
pub struct CounterService {
    router: Router,
    state: Arc<State>,
}

impl CounterService {
    /// A service of these nodes, which stay their caller's: stopping them is up to the caller, after the service. Requests
    /// enter through them in turn.
    ///
    /// # Panics
    ///
    /// Without a node.
    #[must_use]
    pub fn new(nodes: Vec<Node>, options: ServiceOptions) -> Self {
        assert!(!nodes.is_empty(), "a service has at least one node");
        let state = Arc::new(State::new(nodes, options));
        let (router, api) = OpenApiRouter::with_openapi(docs::ABOUT.document())
            .routes(routes!(increment::increment))
            .routes(routes!(read::read))
            .routes(routes!(read::top))
            .routes(routes!(watch::watch))
            .routes(routes!(health::healthz))
            .routes(routes!(health::readyz))
            .split_for_parts();
        let router = router
            .merge(routes(&api))
            .fallback(unknown_path)
            .method_not_allowed_fallback(unknown_method)
            .with_state(Arc::clone(&state));
        Self { router, state }
    }

    /// The figures of this service and its nodes, for a listener of their own.
    #[must_use]
    pub fn metrics(&self) -> MetricsService {
        MetricsService::new(Arc::clone(&self.state))
    }

    /// A request is let in before it is routed: what the rules say does not hang on which handler it would be.
    fn admit(&self, route: Route, headers: &HeaderMap) -> Result<Option<Admitted>, ApiError> {
        self.state.gate.check(route.access(), headers)?;
        self.state.enter(route)
    }

    /// Increments and reads are nearly all that comes: they go to their handlers past the router, which would find the same
    /// ones for more than the handlers themselves take.
    async fn answer(&self, route: Route, admitted: Option<Admitted>, mut request: Request<Incoming>) -> Response<Body> {
        let answered = match (route, admitted) {
            (Route::Increment, Some(Admitted(place))) => increment::counted(&self.state, place, request).await,
            (Route::Read, Some(Admitted(place))) if request.method() == Method::GET => {
                read::value(&self.state, place, request.uri().path()).await
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

impl Respond for CounterService {
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

pub(super) async fn unknown_path() -> ApiError {
    ApiError::new(ErrorCode::UnknownPath, "there is no such path; /docs lists those there are")
}

async fn unknown_method() -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        "the path does not have this method; the header Allow lists those it has",
    )
}
