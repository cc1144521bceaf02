//! What a service declares: its routes, each once, with everything that follows from it.

use super::about::About;
use super::auth::{Access, Gate};
use super::codes::{Code, General};
use super::documented::Documented;
use super::error::{ApiError, Details};
use super::inflight::{ALL_TAKEN, InFlight, Place};
use super::metrics::Requests;
use super::traceparent::Traceparent;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response};
use hyper::Request;
use hyper::body::Incoming;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

pub use super::method::Method;

/// Whether the process is alive. Probes are answered also on connections that are beyond the limit.
pub const LIVEZ: &str = "/livez";

/// The same, under the name that services have.
pub const HEALTHZ: &str = "/healthz";

/// Whether the service is ready.
pub const READYZ: &str = "/readyz";

/// A service: its routes, and the state that all of its requests share. A [`Router`](crate::Router) serves it.
pub trait Service: Sized + Send + Sync + 'static {
    /// Its codes.
    type Code: Code;
    /// What its errors say besides.
    type Details: Details;

    /// What its document says besides the routes; a service without has no document and no page.
    const ABOUT: Option<About>;
    /// Its routes. Of two that match a request, the first one is taken, so that what comes most often is declared
    /// first.
    const ROUTES: &'static [Route<Self>];

    /// Who may ask.
    fn gate(&self) -> &Gate;
    /// What was answered: [`Requests::of`] its routes.
    fn requests(&self) -> &Requests;
}

/// The error of a service.
pub type ErrorOf<S> = ApiError<<S as Service>::Code, <S as Service>::Details>;

/// What a handler answers.
pub type Answered<S> = Result<Response<Body>, ErrorOf<S>>;

/// A handler that was called.
pub type Answering<S> = Pin<Box<dyn Future<Output = Answered<S>> + Send>>;

/// A method and a path, and everything that follows from them.
pub struct Route<S: Service> {
    /// The method.
    pub method: Method,
    /// The path. One segment of it may be a parameter, as in `/v1/kv/{key}`; an empty segment is one too.
    pub path: &'static str,
    /// Which row of the metrics counts its answers: the label `route`. Routes may share one.
    pub name: &'static str,
    /// Who may ask. Says that `unauthorized`, and `foreign_origin` for writes, can be answered.
    pub access: Access,
    /// What answers, and which limit the request counts for. Says which code is answered at the limit.
    pub handler: Handler<S>,
    /// Which further codes can be answered, in groups. Those that can be answered wherever one asks
    /// ([`ANYWHERE`]) are not declared.
    pub errors: &'static [&'static [S::Code]],
    /// What it takes and answers, for the document; what is none of the service's operations is not in it.
    pub documented: Option<fn(Documented) -> Documented>,
}

/// What can be answered whatever is asked for.
pub const ANYWHERE: [General; 5] = [
    General::UnknownPath,
    General::MethodNotAllowed,
    General::MisdirectedRequest,
    General::TooManyConnections,
    General::Internal,
];

/// What answers a request.
pub enum Handler<S: Service> {
    /// Answers whatever there is: for probes, which must be answered when the service is full.
    Unlimited(fn(Call<S>) -> Answering<S>),
    /// Answers with a place among so many. The place belongs into the answer, where it is until the answer is written.
    Limited(&'static Limit<S>, fn(Call<S>, Place) -> Answering<S>),
    /// As [`Limited`](Self::Limited), without waiting for anything: for what comes so often that a future costs too
    /// much.
    Immediate(&'static Limit<S>, fn(&Call<S>, Place) -> Answered<S>),
    /// Answers with what is in memory once for all: the service's document.
    Document(fn(&str, &HeaderMap) -> Response<Body>),
}

/// How many requests may be in flight at a time.
pub struct Limit<S: Service> {
    /// Their places.
    pub places: fn(&S) -> &Arc<InFlight>,
    /// What is answered when all of them are taken.
    pub full: fn() -> S::Code,
    /// The sentence of that answer.
    pub message: &'static str,
}

impl<S: Service> Limit<S> {
    /// The limit of requests that are answered in a moment: `too_many_in_flight`.
    #[must_use]
    pub const fn of(places: fn(&S) -> &Arc<InFlight>) -> Self {
        Self { places, full: || S::Code::general(General::TooManyInFlight), message: ALL_TAKEN }
    }

    pub(crate) fn enter(&self, state: &S) -> Result<Place, ErrorOf<S>> {
        (self.places)(state).enter().map_err(|_| ApiError::new((self.full)(), self.message))
    }
}

impl<S: Service> Route<S> {
    /// All codes that can be answered here, as the document says; those of [`ANYWHERE`] only where they are declared.
    pub(crate) fn codes(&self) -> Vec<S::Code> {
        let refused: &[General] = match self.access {
            Access::Open => &[],
            Access::Read => &[General::Unauthorized],
            Access::Write => &[General::Unauthorized, General::ForeignOrigin],
        };
        let full = match &self.handler {
            Handler::Limited(limit, _) | Handler::Immediate(limit, _) => Some((limit.full)()),
            Handler::Unlimited(_) | Handler::Document(_) => None,
        };
        let declared = self.errors.iter().flat_map(|group| group.iter().copied());
        let mut codes = Vec::new();
        for code in refused.iter().map(|code| S::Code::general(*code)).chain(full).chain(declared) {
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes
    }

    /// Whether a code can be answered here.
    pub(crate) fn declares(&self, code: S::Code) -> bool {
        // Nearly all are declared here; the others follow from the rest.
        self.errors.iter().any(|group| group.contains(&code))
            || self.codes().contains(&code)
            || ANYWHERE.iter().any(|anywhere| S::Code::general(*anywhere) == code)
    }
}

/// A request on its way to its handler.
pub struct Call<S> {
    /// What all requests share.
    pub state: Arc<S>,
    /// The request without its body.
    pub head: Head,
    /// What comes after it.
    pub body: Incoming,
}

/// The first part of a request.
#[derive(Debug)]
pub struct Head {
    parts: Parts,
    parameter: Range<usize>,
    traceparent: Option<Traceparent>,
}

impl<S> Call<S> {
    pub(crate) fn new(
        state: Arc<S>,
        request: Request<Incoming>,
        parameter: Range<usize>,
        traceparent: Option<Traceparent>,
    ) -> Self {
        let (parts, body) = request.into_parts();
        Self { state, head: Head { parts, parameter, traceparent }, body }
    }
}

impl Head {
    /// The parameter of the path, encoded as it was sent; empty where the path has none.
    #[must_use]
    pub fn parameter(&self) -> &str {
        &self.parts.uri.path()[self.parameter.clone()]
    }

    /// What comes after the question mark.
    #[must_use]
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The span that whatever the request causes is caused by: that of the request where requests are
    /// [traced](crate::trace_requests), or else the valid `traceparent` that it has.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        self.traceparent
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }
}
