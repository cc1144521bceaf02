//! What a batch of changes has done.

use super::error::ApiError;
use super::kv::json;
use super::state::State;
use crate::{CacheError, Stored};
use axum::http::header;
use axum::response::Response;
use evenfold_http::answer;
use evenfold_http::error::JSON;
use evenfold_http::inflight::Place;
use serde::Serialize;
use utoipa::ToSchema;

/// What a result is in memory, and in the answer, besides its key: numbers, or an error with its sentence.
const AROUND_A_RESULT: usize = 1024;

/// A key is in memory twice, and in the answer each byte of it may be escaped, since it may have quotes but no control
/// characters.
const ESCAPED_KEY: usize = 4;

/// What was done, in the order of the entries or keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Results {
    results: Vec<Done>,
}

/// What was done about one key: `version` and `created`, or `deleted`, or `error`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Done {
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

    pub(super) fn stored(key: String, Stored { version, created }: Stored) -> Self {
        Self { version: Some(version), created: Some(created), ..Self::of(key) }
    }

    pub(super) fn deleted(key: String, deleted: bool) -> Self {
        Self { deleted: Some(deleted), ..Self::of(key) }
    }
}

/// What keys take up while a batch is made, and the answer about them. Counted before, since what was changed is
/// answered.
pub(super) fn room_for_results(keys: &[String]) -> usize {
    keys.iter().map(|key| AROUND_A_RESULT + ESCAPED_KEY * key.len()).sum()
}

/// What was done about each key; where nothing was done about any, as in maintenance, the whole answer is the first
/// error.
pub(super) fn results<T>(
    state: &State,
    place: Place,
    keys: Vec<String>,
    outcomes: Vec<Result<T, CacheError>>,
    done: impl Fn(String, T) -> Done,
) -> Result<Response, ApiError> {
    let one = |(key, outcome)| match outcome {
        Ok(outcome) => done(key, outcome),
        Err(error) => Done { error: Some(ApiError::from(error)), ..Done::of(key) },
    };
    let mut results: Vec<Done> = keys.into_iter().zip(outcomes).map(one).collect();
    let failed = results.iter().all(|done| done.error.is_some());
    if let Some(error) = results.first_mut().and_then(|first| first.error.take_if(|_| failed)) {
        return Err(error);
    }
    for error in results.iter().filter_map(|done| done.error.as_ref()) {
        state.requests.refused(error.code);
    }
    let mut response = Response::new(answer::body(json(&Results { results }), place));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Ok(response)
}
