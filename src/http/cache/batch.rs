//! Many keys in one request. What is wrong with the request is found before any of it is done; what a shard then says is
//! told for each key.

use super::entry::{self, Kind};
use super::error::{ApiError, ErrorCode};
use super::key::{self, Key};
use super::kv::json;
use super::responses::BodyErrors;
use super::state::State;
use crate::cache::{CacheError, Condition, Put, Stored};
use crate::http::body;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::ToSchema;

/// A batch may have this many keys.
pub const MAX_BATCH_KEYS: usize = 1_000;

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys<'a> {
    /// 1 to 1,000 keys.
    #[serde(borrow)]
    #[schema(value_type = Vec<Key>, min_items = 1, max_items = 1000)]
    keys: Vec<Cow<'a, str>>,
}

/// What is to be put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries<'a> {
    /// 1 to 1,000 entries; of several with one key, the last one stays.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 1000)]
    entries: Vec<KeyedEntry<'a>>,
}

/// One of the values that are to be put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KeyedEntry<'a> {
    #[serde(borrow)]
    #[schema(value_type = Key)]
    key: Cow<'a, str>,
    /// Any JSON value.
    #[serde(borrow)]
    #[schema(value_type = serde_json::Value)]
    value: &'a RawValue,
    /// What the value is; needed only for base64.
    #[serde(rename = "type")]
    kind: Option<Kind>,
    /// How long the value is there, in seconds, with fractions.
    #[schema(minimum = 0.001, maximum = 315_360_000.0)]
    ttl_sec: Option<f64>,
}

/// What was found, in the order of the keys.
//
// For the document: answers are written by hand.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) struct GetAnswers {
    results: Vec<GetAnswer>,
}

/// What was found for one key. The other fields are there if the key is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
#[schema(rename_all = "camelCase")]
struct GetAnswer {
    key: String,
    found: bool,
    value: Option<serde_json::Value>,
    #[schema(rename = "type")]
    kind: Option<Kind>,
    version: Option<u64>,
    ttl_sec: Option<f64>,
}

/// What was done, in the order of the entries or keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Results {
    results: Vec<Done>,
}

/// What was done about one key: `version` and `created`, or `deleted`, or `error`.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Done {
    key: String,
    /// The new version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Whether the key was absent before.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<bool>,
    /// Whether the key was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
    /// Why nothing is known to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ApiError>,
}

impl Done {
    fn of(key: String) -> Self {
        Self { key, ..Self::default() }
    }
}

/// The keys are as many as may be, and each is one.
fn check<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> Result<(), ApiError> {
    let count = keys.len();
    if !(1..=MAX_BATCH_KEYS).contains(&count) {
        let message = format!("a batch has 1 to {MAX_BATCH_KEYS} keys, not {count}; split it");
        return Err(ApiError::new(ErrorCode::InvalidBody, message));
    }
    for each in keys {
        key::check(each)?;
    }
    Ok(())
}

async fn body_of(state: &State, request: Request) -> Result<Bytes, ApiError> {
    Ok(body::read(request.into_body(), state.max_batch, state.request_timeout).await?)
}

/// Read many values
#[utoipa::path(
    post,
    path = "/v1/kv/batch/get",
    tag = "batches",
    request_body(content = Keys),
    responses((status = 200, description = "In the order of the keys.", body = GetAnswers), BodyErrors),
    security((), ("token" = [])),
)]
pub(super) async fn get(Shared(state): Shared<Arc<State>>, request: Request) -> Result<Response, ApiError> {
    let body = body_of(&state, request).await?;
    let Keys { keys } = body::parse(&body)?;
    check(keys.iter().map(Cow::as_ref))?;
    let mut out = b"{\"results\":[".to_vec();
    for (at, key) in keys.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"key\":");
        out.append(&mut json(key));
        match state.cache.get(key) {
            Some(found) if out.len() + entry::room(&found) > state.max_batch => {
                let limit = state.max_batch;
                let message = format!("the values have more than {limit} bytes together; ask for fewer keys at a time");
                return Err(ApiError::new(ErrorCode::TooLarge, message));
            }
            Some(found) => {
                out.extend_from_slice(b",\"found\":true,");
                entry::write_found(&mut out, &found);
            }
            None => out.extend_from_slice(b",\"found\":false"),
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    let mut response = Response::new(Body::from(out));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Put many values
///
/// All of them are checked before the first is put; the puts are no transaction.
#[utoipa::path(
    post,
    path = "/v1/kv/batch/set",
    tag = "batches",
    request_body(content = Entries),
    responses((status = 200, description = "In the order of the entries; some may have failed.", body = Results), BodyErrors),
    security((), ("token" = [])),
)]
pub(super) async fn set(Shared(state): Shared<Arc<State>>, request: Request) -> Result<Json<Results>, ApiError> {
    let body = body_of(&state, request).await?;
    let puts = puts(&body, state.max_item)?;
    drop(body);
    let keys: Vec<String> = puts.iter().map(|put| put.key.clone()).collect();
    let stored = state.cache.put_many(puts).await;
    results(keys, stored, |key, Stored { version, created }| Done {
        version: Some(version),
        created: Some(created),
        ..Done::of(key)
    })
}

fn puts(body: &[u8], limit: usize) -> Result<Vec<Put>, ApiError> {
    let Entries { entries } = body::parse(body)?;
    check(entries.iter().map(|entry| entry.key.as_ref()))?;
    let put = |KeyedEntry { key, value, kind, ttl_sec }| {
        let (value, ttl) = (entry::value(value, kind)?, entry::ttl(ttl_sec)?);
        let bytes = value.len();
        if bytes > limit {
            return Err(CacheError::TooLarge { bytes, limit }.into());
        }
        Ok(Put { key: Cow::into_owned(key), value, ttl, condition: Condition::Always })
    };
    entries.into_iter().map(put).collect()
}

/// Delete many keys
#[utoipa::path(
    post,
    path = "/v1/kv/batch/delete",
    tag = "batches",
    request_body(content = Keys),
    responses((status = 200, description = "In the order of the keys; some may have failed.", body = Results), BodyErrors),
    security((), ("token" = [])),
)]
pub(super) async fn delete(Shared(state): Shared<Arc<State>>, request: Request) -> Result<Json<Results>, ApiError> {
    let body = body_of(&state, request).await?;
    let Keys { keys } = body::parse(&body)?;
    check(keys.iter().map(Cow::as_ref))?;
    let keys: Vec<String> = keys.into_iter().map(Cow::into_owned).collect();
    let deleted = state.cache.delete_many(keys.clone()).await;
    results(keys, deleted, |key, deleted| Done { deleted: Some(deleted), ..Done::of(key) })
}

/// What was done about each key; where nothing was done about any, as in maintenance, the whole answer is the first error.
fn results<T>(
    keys: Vec<String>,
    outcomes: Vec<Result<T, CacheError>>,
    done: impl Fn(String, T) -> Done,
) -> Result<Json<Results>, ApiError> {
    let one = |(key, outcome)| match outcome {
        Ok(outcome) => done(key, outcome),
        Err(error) => Done { error: Some(ApiError::from(error)), ..Done::of(key) },
    };
    let mut results: Vec<Done> = keys.into_iter().zip(outcomes).map(one).collect();
    let failed = results.iter().all(|done| done.error.is_some());
    match results.first_mut().and_then(|first| first.error.take_if(|_| failed)) {
        Some(error) => Err(error),
        None => Ok(Json(Results { results })),
    }
}
