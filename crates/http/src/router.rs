//! Serves what a service has declared.

use super::auth::Access;
use super::codes::{Code, General};
use super::error::ApiError;
use super::respond::Respond;
use super::route::{Answered, Call, ErrorOf, Handler, Service};
use super::table::{Entry, RouteMatch, Table};
use super::traceparent::{self, Traceparent};
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;
use tracing::{Instrument, Span};

/// A service, to be [served](crate::serve). Clones are cheap, and are the same service.
pub struct Router<S: Service> {
    state: Arc<S>,
    table: Arc<Table<S>>,
    /// The OpenAPI document.
    document: Arc<str>,
}

impl<S: Service> Clone for Router<S> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), table: Arc::clone(&self.table), document: Arc::clone(&self.document) }
    }
}

impl<S: Service> Router<S> {
    /// Serves this state.
    #[must_use]
    pub fn new(state: Arc<S>) -> Self {
        let table = Arc::new(Table::new(state.requests()));
        // Made of constants: that it can be written is tested.
        let document = S::ABOUT.map(|about| about.document::<S>(state.gate()).to_json().unwrap_or_default());
        Self { state, table, document: document.unwrap_or_default().into() }
    }

    /// What all requests share.
    #[must_use]
    pub fn state(&self) -> &Arc<S> {
        &self.state
    }

    /// A request is let in before anything else is done about it.
    async fn call(&self, entry: &Entry<S>, parameter: Range<usize>, request: Request<Incoming>) -> Answered<S> {
        let route = entry.route;
        self.check(route.access, request.headers())?;
        // Probes and the like are no part of any trace.
        let begin = || traceparent::begin(request.method().as_str(), route.path, request.headers());
        match &route.handler {
            Handler::Limited(limit, handler) => {
                let place = limit.enter(&self.state)?;
                let (span, passed) = begin();
                let answered = handler(self.called(request, parameter, passed), place).instrument(span.clone()).await;
                Self::traced(&span, answered)
            }
            Handler::Immediate(limit, handler) => {
                let place = limit.enter(&self.state)?;
                let (span, passed) = begin();
                let call = self.called(request, parameter, passed);
                let answered = span.in_scope(|| handler(&call, place));
                Self::traced(&span, answered)
            }
            Handler::Unlimited(handler) => handler(self.called(request, parameter, None)).await,
            Handler::Document(handler) => Ok(handler(&self.document, request.headers())),
        }
    }

    fn called(&self, request: Request<Incoming>, parameter: Range<usize>, passed: Option<Traceparent>) -> Call<S> {
        Call::new(Arc::clone(&self.state), request, parameter, passed)
    }

    fn traced(span: &Span, answered: Answered<S>) -> Answered<S> {
        let status = answered.as_ref().map_or_else(|error| error.code.status(), Response::status);
        traceparent::answered(span, status.as_u16());
        answered
    }

    fn check(&self, access: Access, headers: &HeaderMap) -> Result<(), ErrorOf<S>> {
        Ok(self.state.gate().check(access, headers)?)
    }

    fn refuse(&self, error: ErrorOf<S>) -> Response<Body> {
        self.state.requests().refused(error.code);
        error.into_response(self.state.gate().scheme)
    }

    async fn route(&self, entry: &Entry<S>, parameter: Range<usize>, request: Request<Incoming>) -> Response<Body> {
        let head = request.method() == Method::HEAD;
        let response = self.call(entry, parameter, request).await.unwrap_or_else(|error| {
            let route = entry.route;
            if !route.declares(error.code) {
                // Whoever asked still gets the error that it is.
                tracing::error!(path = route.path, code = ?error.code, "an error was answered that its route does not declare");
                debug_assert!(false, "{} does not declare {:?}", route.path, error.code);
            }
            self.refuse(error)
        });
        if head { without_body(response) } else { response }
    }

    /// The answer to what is no route.
    fn unknown(&self, found: Option<(Access, HeaderValue)>, headers: &HeaderMap) -> Response<Body> {
        let (access, allow) = found.map_or((Access::Write, None), |(access, allow)| (access, Some(allow)));
        if let Err(error) = self.check(access, headers) {
            return self.refuse(error);
        }
        let Some(allow) = allow else {
            let message = match S::ABOUT {
                Some(_) => "there is no such path; /docs lists those there are",
                None => "there is no such path",
            };
            return self.refuse(ApiError::general(General::UnknownPath, message));
        };
        let message = "the path does not have this method; the header Allow lists those it has";
        let mut response = self.refuse(ApiError::general(General::MethodNotAllowed, message));
        response.headers_mut().insert(header::ALLOW, allow);
        response
    }
}

impl<S: Service> Respond for Router<S> {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let begun = Instant::now();
        let (row, response) = match self.table.find(request.method(), request.uri().path()) {
            RouteMatch::Route(entry, parameter) => (entry.row, self.route(entry, parameter, request).await),
            RouteMatch::OtherMethod { access, allow } => {
                (self.table.other(), self.unknown(Some((access, allow)), request.headers()))
            }
            RouteMatch::Nothing => (self.table.other(), self.unknown(None, request.headers())),
        };
        self.state.requests().answered(row, response.status(), begun.elapsed());
        response
    }
}

/// The answer to a HEAD: that to a GET, without its body, but with its length.
fn without_body(response: Response<Body>) -> Response<Body> {
    // In an answer of 304 the length would be that of the answer of 200, which is not known here.
    let length = response.body().size_hint().exact().filter(|length| *length > 0);
    let mut response = response.map(|_| Body::empty());
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}
