//! Errors as JSON with a code, and how each becomes an answer.

use super::auth::{Refusal, Scheme};
use super::body::BodyError;
use super::codes::{Code, General};
use super::inflight::{OVER_BUDGET, OverBudget};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use utoipa::openapi::{Object, ObjectBuilder, Ref, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// After this many seconds it is worth trying again: mailboxes empty in milliseconds, and a header has no fractions.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The type of what is answered.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An error: its code, and one sentence that says what to do.
#[derive(Debug, Clone, Serialize)]
pub struct ApiError<C, D = NoDetails> {
    /// What went wrong, for programs.
    pub code: C,
    message: Cow<'static, str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    details: Option<D>,
}

/// What an error says besides its code and its sentence: more fields of the same object.
pub trait Details: fmt::Debug + Clone + Serialize + Send + Sync + 'static {
    /// Adds these fields to the schema.
    fn document(error: ObjectBuilder) -> ObjectBuilder;
}

/// Nothing more.
#[derive(Debug, Clone, Serialize)]
pub enum NoDetails {}

impl Details for NoDetails {
    fn document(error: ObjectBuilder) -> ObjectBuilder {
        error
    }
}

impl<C: Code, D> ApiError<C, D> {
    /// An error without details.
    pub fn new(code: C, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: None }
    }

    /// An error that can occur in every service.
    pub fn general(code: General, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(C::general(code), message)
    }

    /// The same error, with details.
    #[must_use]
    pub fn with(self, details: D) -> Self {
        Self { details: Some(details), ..self }
    }
}

impl<C: Code, D: Details> ApiError<C, D> {
    /// The answer. `scheme` is where the token is expected that a request with 401 did not have.
    pub fn into_response(self, scheme: Scheme) -> Response {
        answer(self.code.status(), &self, scheme)
    }
}

impl<C: Code, D> From<BodyError> for ApiError<C, D> {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooLarge(_) => General::TooLarge,
            BodyError::TimedOut => General::BodyTimeout,
            BodyError::Incomplete => General::IncompleteBody,
            BodyError::OverBudget => General::TooManyBytesInFlight,
            BodyError::Malformed(_) => General::MalformedJson,
            BodyError::Invalid(_) => General::InvalidBody,
        };
        Self::general(code, error.to_string())
    }
}

impl<C: Code, D> From<OverBudget> for ApiError<C, D> {
    fn from(OverBudget: OverBudget) -> Self {
        Self::general(General::TooManyBytesInFlight, OVER_BUDGET)
    }
}

impl<C: Code, D> From<Refusal> for ApiError<C, D> {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::NoToken(_) | Refusal::WrongToken(_) => General::Unauthorized,
            Refusal::ForeignOrigin => General::ForeignOrigin,
        };
        Self::general(code, refusal.to_string())
    }
}

fn referred(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

impl<C: Code, D: Details> PartialSchema for ApiError<C, D> {
    fn schema() -> RefOr<Schema> {
        let message = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("One sentence that says what to do."))
            .build();
        let error = ObjectBuilder::new()
            .description(Some("An answer that is an error."))
            .property("code", referred(&C::name()))
            .required("code")
            .property("message", message)
            .required("message");
        D::document(error).build().into()
    }
}

impl<C: Code, D: Details> ToSchema for ApiError<C, D> {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((C::name().into_owned(), C::schema()));
    }
}

/// The name of the schema of what is answered.
pub(crate) const BODY: &str = "ErrorBody";

/// The schema of what is answered.
pub(crate) fn body_schema<C: Code, D: Details>() -> Object {
    ObjectBuilder::new()
        .description(Some("The body of an answer that is an error."))
        .property("error", referred(&ApiError::<C, D>::name()))
        .required("error")
        .build()
}

/// The answer to a request for a host that the service is not.
pub(super) fn misdirected() -> Response {
    before_the_service(
        General::MisdirectedRequest,
        "this service does not answer to the name in the header Host; ask it by its address, on its own machine also as \
         localhost, or start it with --allowed-hosts and that name",
    )
}

/// The answer to a request on a connection that is kept for probes.
pub(super) fn too_many_connections() -> Response {
    before_the_service(
        General::TooManyConnections,
        "as many connections are open as may be, and all of them have requests; try again in a moment",
    )
}

/// What is found before it matters which service is asked.
fn before_the_service(code: General, message: &'static str) -> Response {
    // No such answer is a 401, which alone has the scheme.
    ApiError::<General>::new(code, message).into_response(Scheme::Header)
}

/// The body of an answer that is an error.
#[derive(Serialize)]
struct Wrapped<'a, E> {
    error: &'a E,
}

/// An answer that is this error, with the headers that go with its status.
fn answer(status: StatusCode, error: &impl Serialize, scheme: Scheme) -> Response {
    // Numbers and texts alone: nothing in it can fail to be written.
    let text = serde_json::to_vec(&Wrapped { error }).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, scheme.challenge());
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        // The rest of the body may still come, and would be taken for the next request's headers.
        StatusCode::REQUEST_TIMEOUT => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}
