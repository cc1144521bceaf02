//! The shape of every answer that is an error, whatever its codes.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

/// After this many seconds it is worth trying again: mailboxes empty in milliseconds, and a header has no fractions.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The type of what is answered.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An error that is the same in all services: it is found before it matters which one is asked.
#[derive(Serialize)]
struct General {
    code: &'static str,
    message: &'static str,
}

/// The answer to a request for a host that the service is not.
pub(super) fn misdirected() -> Response {
    let message = "this service does not answer to the name in the header Host; ask it by its address, on its own machine also as \
                   localhost, or start it with --allowed-hosts and that name";
    general(StatusCode::MISDIRECTED_REQUEST, &General { code: "misdirected_request", message })
}

/// The answer to a request on a connection that is kept for probes.
pub(super) fn too_many_connections() -> Response {
    let message = "as many connections are open as may be, and all of them have requests; try again in a moment";
    general(StatusCode::SERVICE_UNAVAILABLE, &General { code: "too_many_connections", message })
}

fn general(status: StatusCode, error: &General) -> Response {
    answer(status, error, || HeaderValue::from_static(""))
}

/// The body of an answer that is an error.
#[derive(Serialize)]
struct Wrapped<'a, E> {
    error: &'a E,
}

/// An answer that is this error, with the headers that go with its status.
pub fn answer(status: StatusCode, error: &impl Serialize, challenge: impl FnOnce() -> HeaderValue) -> Response {
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
