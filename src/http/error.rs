//! The shape of every answer that is an error, whatever its codes.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

/// After this many seconds it is worth trying again: mailboxes empty in milliseconds, and a header has no fractions.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The body of an answer that is an error.
#[derive(Serialize)]
struct Wrapped<'a, E> {
    error: &'a E,
}

/// An answer that is this error, with the headers that go with its status.
pub(super) fn answer(status: StatusCode, error: &impl Serialize, challenge: impl FnOnce() -> HeaderValue) -> Response {
    // Numbers and texts alone: nothing in it can fail to be written.
    let text = serde_json::to_vec(&Wrapped { error }).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, challenge());
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
