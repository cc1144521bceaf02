//! One key: read, put, delete.

use super::condition;
use super::entry::{self, Entry, NewEntry};
use super::error::{ApiError, ErrorCode};
use super::key::{self, Key};
use super::responses::{ChangeErrors, ReadErrors};
use super::state::State;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use evenfold_http::admitted::Admitted;
use evenfold_http::answer::{self, Answer};
use evenfold_http::body;
use evenfold_http::inflight::Place;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a put has done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PutAnswer {
    /// The new version, which the ETag has too.
    version: u64,
    /// Whether the key was absent before.
    created: bool,
}

fn absent() -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        "there is no such key; it was never put, or was deleted, evicted, or has expired",
    )
}

/// Numbers and texts as JSON: nothing in them can fail to be written.
pub(super) fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_default()
}

/// What a change has done, with the place that its request has had.
pub(super) fn changed(status: StatusCode, version: u64, done: &impl Serialize, place: Place) -> Response {
    versioned(status, version, answer::body(json(done), place))
}

/// An answer with a body and a version.
fn versioned(status: StatusCode, version: u64, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response.headers_mut().insert(header::ETAG, condition::etag(version));
    response
}

/// Read a value
///
/// Never waits for a change of any key.
#[utoipa::path(
    get,
    path = "/v1/kv/{key}",
    tag = "keys",
    params(
        ("key" = Key, Path, description = "The key, percent-encoded."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "Versions in quotes that the reader has."),
    ),
    responses(
        (status = 200, description = "The value.", body = Entry,
            headers(("ETag" = String, description = "The version in quotes."))),
        (status = 304, description = "The reader has the version that there is.",
            headers(("ETag" = String, description = "The version in quotes."))),
        ReadErrors,
    ),
    security((), ("token" = [])),
)]
pub(super) async fn get(
    Shared(state): Shared<Arc<State>>,
    Admitted(place): Admitted,
    request: Request,
) -> Result<Response, ApiError> {
    let key = key::in_path(request.uri().path())?;
    let found = state.cache.find(&key).ok_or_else(absent)?;
    // Most readers know nothing.
    if request.headers().contains_key(header::IF_NONE_MATCH) && condition::is_known(request.headers(), found.version())
    {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::ETAG, condition::etag(found.version()));
        return Ok(response);
    }
    let (version, mut answer) = (found.version(), Answer::new(place));
    entry::write(&mut answer, found, b"{", b"}")?;
    Ok(versioned(StatusCode::OK, version, answer.into_body()))
}

/// Put a value
///
/// With `If-None-Match: *` only where there is none, with `If-Match` only in place of this version.
#[utoipa::path(
    put,
    path = "/v1/kv/{key}",
    tag = "keys",
    params(
        ("key" = Key, Path, description = "The key, percent-encoded."),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The version in quotes that is to be replaced, or *.", pattern = r#"^(\*|"[1-9][0-9]{0,18}")$"#),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "Only *: the key must be absent.", pattern = r"^\*$"),
    ),
    request_body(content = NewEntry),
    responses(
        (status = 200, description = "Replaced.", body = PutAnswer,
            headers(("ETag" = String, description = "The new version in quotes."))),
        (status = 201, description = "Created.", body = PutAnswer,
            headers(("ETag" = String, description = "The new version in quotes."))),
        ChangeErrors,
    ),
    security((), ("token" = [])),
)]
pub(super) async fn put(
    Shared(state): Shared<Arc<State>>,
    Admitted(mut place): Admitted,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let key = key::in_path(head.uri.path())?;
    let condition = condition::of_change(&head.headers)?;
    let body = body::read(body, state.max_body, state.request_timeout, &mut place).await?;
    let entry: NewEntry<'_> = body::parse(&body)?;
    // No value has more bytes than the text that it is sent as.
    place.resize(2 * body.len())?;
    let (value, ttl) = (entry.value()?, entry.ttl()?);
    // The cache has the value now: what it came as is not kept while the change waits.
    drop(body);
    place.settle(value.len());
    let stored = state.cache.put(&key, value, ttl, condition).await?;
    let status = if stored.created { StatusCode::CREATED } else { StatusCode::OK };
    let done = PutAnswer { version: stored.version, created: stored.created };
    Ok(changed(status, stored.version, &done, place))
}

/// Delete a key
///
/// With `If-Match` only if it has this version.
#[utoipa::path(
    delete,
    path = "/v1/kv/{key}",
    tag = "keys",
    params(
        ("key" = Key, Path, description = "The key, percent-encoded."),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The version in quotes that is to be deleted, or *.", pattern = r#"^(\*|"[1-9][0-9]{0,18}")$"#),
    ),
    responses((status = 204, description = "Deleted."), ChangeErrors),
    security((), ("token" = [])),
)]
pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    _place: Admitted,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let key = key::in_path(request.uri().path())?;
    let condition = condition::of_change(request.headers())?;
    if state.cache.delete(&key, condition).await? { Ok(StatusCode::NO_CONTENT) } else { Err(absent()) }
}
