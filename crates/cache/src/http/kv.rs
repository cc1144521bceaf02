//! One key: read, put, delete.

use super::condition;
use super::entry::{self, Entry, NewEntry};
use super::error::{ApiError, ErrorCode};
use super::key::{self, Key};
use super::meta::{self, FoundEntry};
use super::state::State;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use evenfold_http::answer::{self, Answer};
use evenfold_http::body;
use evenfold_http::documented::{Documented, DocumentedAnswer, boolean, text};
use evenfold_http::error::JSON;
use evenfold_http::inflight::Place;
use evenfold_http::route::Call;
use serde::Serialize;
use utoipa::ToSchema;

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

/// What a version in If-Match is like.
const MATCHED: &str = r#"^(\*|"[1-9][0-9]{0,18}"|[1-9][0-9]{0,18})$"#;

const EXAMPLE_KEY: &str = "greeting";

const EXAMPLE_ENTRY: &str = r#"{"value": {"text": "hello"}, "type": "json", "version": 42, "ttlSec": 599.5,
    "expiresAt": "2030-01-31T12:00:00.000Z", "bytes": 17, "memoryBytes": 348, "compressed": false}"#;

const NEW_VERSION: &str = "The new version in quotes.";

pub(super) fn get_documented(documented: Documented) -> Documented {
    let version = "The version in quotes.";
    documented
        .operation("get", "keys", "Read a value")
        .description("Never waits for a change of any key.")
        .in_path::<Key>("The key, percent-encoded.", EXAMPLE_KEY)
        .in_query(meta::INCLUDE_META, boolean(), meta::INCLUDED, true)
        .header("If-None-Match", text(), "Versions in quotes that the reader has.", "\"42\"")
        .answer(200, DocumentedAnswer::json::<Entry>("The value.", EXAMPLE_ENTRY).header("ETag", version))
        .answer(304, DocumentedAnswer::empty("The reader has the version that there is.").header("ETag", version))
}

pub(super) fn get(call: &Call<State>, place: Place) -> Result<Response, ApiError> {
    let Call { state, head, .. } = call;
    let key = key::in_path(head)?;
    let with_meta = meta::is_included(head.query())?;
    let found = FoundEntry::look(&state.cache, &key, with_meta).ok_or_else(absent)?;
    let version = found.hit.version();
    // Most readers know nothing.
    if head.headers().contains_key(header::IF_NONE_MATCH) && condition::is_known(head.headers(), version) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::ETAG, condition::etag(version));
        return Ok(response);
    }
    let mut answer = Answer::new(place);
    entry::write(&mut answer, found, b"{", b"}")?;
    Ok(versioned(StatusCode::OK, version, answer.into_body()))
}

pub(super) fn put_documented(documented: Documented) -> Documented {
    documented
        .operation("put", "keys", "Put a value")
        .description("With `If-None-Match: *` only where there is none, with `If-Match` only in place of this version.")
        .in_path::<Key>("The key, percent-encoded.", EXAMPLE_KEY)
        .header(
            "If-Match",
            text().pattern(Some(MATCHED)),
            "The version that is to be replaced, with or without quotes, or *.",
            "\"42\"",
        )
        .header("If-None-Match", text().pattern(Some(r"^\*$")), "Only *: the key must be absent.", "*")
        .body::<NewEntry<'_>>(r#"{"value": {"text": "hello"}, "ttlSec": 600}"#)
        .answer(
            200,
            DocumentedAnswer::json::<PutAnswer>("Replaced.", r#"{"version": 43, "created": false}"#)
                .header("ETag", NEW_VERSION),
        )
        .answer(
            201,
            DocumentedAnswer::json::<PutAnswer>("Created.", r#"{"version": 42, "created": true}"#)
                .header("ETag", NEW_VERSION),
        )
}

pub(super) async fn put(call: Call<State>, mut place: Place) -> Result<Response, ApiError> {
    let Call { state, head, body } = call;
    let key = key::in_path(&head)?;
    let condition = condition::of_change(head.headers())?;
    let body = body::read(body, state.max_body, state.request_timeout, &mut place).await?;
    let entry: NewEntry<'_> = body::parse(&body)?;
    // No value has more bytes than the text that it is sent as.
    place.resize(2 * body.len())?;
    let (value, expiry) = (entry.value()?, entry.expiry()?);
    // The cache has the value now: what it came as is not kept while the change waits.
    drop(body);
    place.settle(value.len());
    let stored = state.cache.put(&key, value, expiry, condition).await?;
    let status = if stored.created { StatusCode::CREATED } else { StatusCode::OK };
    let done = PutAnswer { version: stored.version, created: stored.created };
    Ok(changed(status, stored.version, &done, place))
}

pub(super) fn delete_documented(documented: Documented) -> Documented {
    documented
        .operation("delete", "keys", "Delete a key")
        .description("With `If-Match` only if it has this version.")
        .in_path::<Key>("The key, percent-encoded.", EXAMPLE_KEY)
        .header(
            "If-Match",
            text().pattern(Some(MATCHED)),
            "The version that is to be deleted, with or without quotes, or *.",
            "\"42\"",
        )
        .answer(204, DocumentedAnswer::empty("Deleted."))
}

pub(super) async fn delete(call: Call<State>, _place: Place) -> Result<Response, ApiError> {
    let Call { state, head, .. } = call;
    let key = key::in_path(&head)?;
    let condition = condition::of_change(head.headers())?;
    if state.cache.delete(&key, condition).await? { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(absent()) }
}
