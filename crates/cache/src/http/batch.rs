//! Many keys in one request. What is wrong with the request is found before any of it is done; what a shard then
//! answers is reported for each key.

use super::entry::{self, room_of};
use super::error::{ApiError, ErrorCode};
use super::expiry::expiry;
use super::key::{self, Key};
use super::kind::Kind;
use super::meta::{self, FoundEntry};
use super::results::{Done, Results, results, room_for_results};
use super::state::State;
use crate::{CacheError, Condition, Put};
use axum::body::Bytes;
use axum::http::header;
use axum::response::Response;
use evenfold_http::answer::Answer;
use evenfold_http::body;
use evenfold_http::documented::{Documented, DocumentedAnswer, boolean};
use evenfold_http::error::JSON;
use evenfold_http::inflight::{OverBudget, Place};
use evenfold_http::route::Call;
use hyper::body::Incoming;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::marker::PhantomData;
use utoipa::ToSchema;

/// A batch may have this many keys.
pub const MAX_BATCH_KEYS: usize = 1_000;

/// What an answer has about a key besides the key and what was found: names, quotes and braces.
const AROUND_A_KEY: usize = 48;

const EXAMPLE_KEYS: &str = r#"{"keys": ["icon", "none"]}"#;

const EXAMPLE_FOUND: &str = r#"{"results": [
    {"key": "icon", "found": true, "value": "AAEC/w==", "type": "base64", "version": 45, "ttlSec": 599.5,
        "expiresAt": "2030-01-31T12:00:00.000Z", "bytes": 4, "memoryBytes": 328, "compressed": false},
    {"key": "none", "found": false}
]}"#;

const EXAMPLE_ENTRIES: &str = r#"{"entries": [{"key": "icon", "value": "AAEC/w==", "type": "base64", "ttlSec": 600}]}"#;

const EXAMPLE_STORED: &str = r#"{"results": [{"key": "icon", "version": 45, "created": true}]}"#;

const EXAMPLE_DELETED: &str = r#"{"results": [{"key": "icon", "deleted": true}, {"key": "none", "deleted": false}]}"#;

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    /// 1 to 1,000 keys, none of them twice.
    #[serde(deserialize_with = "at_most_a_batch")]
    #[schema(value_type = HashSet<Key>, min_items = 1, max_items = 1000)]
    keys: Vec<String>,
}

/// What is to be put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries<'a> {
    /// 1 to 1,000 entries; of several with one key, the last one stays.
    #[serde(borrow, deserialize_with = "at_most_a_batch")]
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
    /// In place of `ttlSec`: until when the value is there, in RFC 3339.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Cow<'a, str>>,
}

/// What was found, in the order of the keys.
//
// For the document: answers are written by hand.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) struct GetAnswers {
    results: Vec<GetAnswer>,
}

/// What was found for one key. The other fields are there if the key is, the last four with `includeMeta=true` only.
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
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    bytes: Option<u64>,
    memory_bytes: Option<u64>,
    compressed: Option<bool>,
}

/// Reads a list up to the limit of a batch, and nothing beyond: a body has room for millions of empty keys, each of
/// which would take up many times the bytes that it was sent with.
fn at_most_a_batch<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Batch<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Batch<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of 1 to {MAX_BATCH_KEYS}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = list.next_element()? {
                if all.len() == MAX_BATCH_KEYS {
                    return Err(A::Error::custom(format_args!("a batch has at most {MAX_BATCH_KEYS} keys, split it")));
                }
                all.push(one);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_seq(Batch(PhantomData))
}

/// There is a key, and each is one.
fn check<'a>(mut keys: impl ExactSizeIterator<Item = &'a str>) -> Result<(), ApiError> {
    if keys.len() == 0 {
        let message = format!("the batch has no key; give it 1 to {MAX_BATCH_KEYS}");
        return Err(ApiError::new(ErrorCode::InvalidBody, message));
    }
    keys.try_for_each(key::check)
}

/// Reads the keys of a batch, each of which may be named once. Otherwise a request of a few bytes could ask for a large
/// value a thousand times.
async fn keys_of(state: &State, body: Incoming, place: &mut Place) -> Result<Vec<String>, ApiError> {
    let body = body_of(state, body, place).await?;
    let Keys { keys } = body::parse(&body)?;
    check(keys.iter().map(String::as_str))?;
    let mut seen = HashSet::with_capacity(keys.len());
    if let Some(twice) = keys.iter().find(|key| !seen.insert(key.as_str())) {
        let message = format!("the key {twice:?} is named twice; name each key once");
        return Err(ApiError::new(ErrorCode::InvalidBody, message));
    }
    Ok(keys)
}

async fn body_of(state: &State, body: Incoming, place: &mut Place) -> Result<Bytes, ApiError> {
    Ok(body::read(body, state.max_batch, state.request_timeout, place).await?)
}

pub(super) fn get_documented(documented: Documented) -> Documented {
    documented
        .operation("get", "batches", "Read many values")
        .in_query(meta::INCLUDE_META, boolean(), meta::INCLUDED, true)
        .body::<Keys>(EXAMPLE_KEYS)
        .answer(200, DocumentedAnswer::json::<GetAnswers>("In the order of the keys.", EXAMPLE_FOUND))
}

pub(super) async fn get(call: Call<State>, mut place: Place) -> Result<Response, ApiError> {
    let Call { state, head, body } = call;
    let with_meta = meta::is_included(head.query())?;
    let keys = keys_of(&state, body, &mut place).await?;
    // What is found stays in memory until it is written into the answer, which waits for nothing: as many requests do
    // that at a time as there are threads.
    let look = |key: &String| FoundEntry::look(&state.cache, key, with_meta);
    let found: Vec<Option<FoundEntry>> = keys.iter().map(look).collect();
    let room =
        |(key, found): (&String, &Option<FoundEntry>)| AROUND_A_KEY + key.len() + found.as_ref().map_or(0, room_of);
    let room = keys.iter().zip(&found).map(room).sum();
    check_answer(&state, room)?;
    let mut answer = Answer::new(place);
    answer.reserve(room)?;
    answer.out().extend_from_slice(b"{\"results\":");
    for (at, (key, found)) in keys.iter().zip(found).enumerate() {
        answer.reserve(AROUND_A_KEY)?;
        answer.out().extend_from_slice(if at == 0 { b"[{\"key\":" } else { b",{\"key\":" });
        answer.text(key)?;
        match found {
            Some(found) => entry::write(&mut answer, found, b",\"found\":true,", b"}")?,
            None => answer.write_all(b",\"found\":false}").map_err(|_| OverBudget)?,
        }
        // Escapes are not known before.
        check_answer(&state, answer.out().len())?;
    }
    answer.write_all(b"]}").map_err(|_| OverBudget)?;
    let mut response = Response::new(answer.into_body());
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Ok(response)
}

fn check_answer(state: &State, bytes: usize) -> Result<(), ApiError> {
    let limit = state.max_batch;
    if bytes <= limit {
        return Ok(());
    }
    let message = format!("the values have more than {limit} bytes together; ask for fewer keys at a time");
    Err(ApiError::new(ErrorCode::TooLarge, message))
}

pub(super) fn set_documented(documented: Documented) -> Documented {
    let order = "In the order of the entries; some may have failed.";
    documented
        .operation("set", "batches", "Put many values")
        .description("All of them are checked before the first is put; the puts are no transaction.")
        .body::<Entries<'_>>(EXAMPLE_ENTRIES)
        .answer(200, DocumentedAnswer::json::<Results>(order, EXAMPLE_STORED))
}

pub(super) async fn set(call: Call<State>, mut place: Place) -> Result<Response, ApiError> {
    let Call { state, body, .. } = call;
    let body = body_of(&state, body, &mut place).await?;
    // No value has more bytes than the text that it is sent as.
    place.resize(2 * body.len())?;
    let puts = puts(&body, state.max_item)?;
    let values: usize = puts.iter().map(|put| put.value.len()).sum();
    drop(body);
    let keys: Vec<String> = puts.iter().map(|put| put.key.clone()).collect();
    place.resize(values + room_for_results(&keys))?;
    let stored = state.cache.put_many(puts).await;
    results(&state, place, keys, stored, Done::stored)
}

fn puts(body: &[u8], limit: usize) -> Result<Vec<Put>, ApiError> {
    let Entries { entries } = body::parse(body)?;
    check(entries.iter().map(|entry| entry.key.as_ref()))?;
    let put = |KeyedEntry { key, value, kind, ttl_sec, expires_at }| {
        let (value, expiry) = (entry::value(value, kind)?, expiry(ttl_sec, expires_at.as_deref())?);
        let bytes = value.len();
        if bytes > limit {
            return Err(CacheError::TooLarge { bytes, limit }.into());
        }
        Ok(Put { key: Cow::into_owned(key), value, expiry, condition: Condition::Always })
    };
    entries.into_iter().map(put).collect()
}

pub(super) fn delete_documented(documented: Documented) -> Documented {
    let order = "In the order of the keys; some may have failed.";
    documented
        .operation("delete", "batches", "Delete many keys")
        .body::<Keys>(EXAMPLE_KEYS)
        .answer(200, DocumentedAnswer::json::<Results>(order, EXAMPLE_DELETED))
}

pub(super) async fn delete(call: Call<State>, mut place: Place) -> Result<Response, ApiError> {
    let Call { state, body, .. } = call;
    let keys = keys_of(&state, body, &mut place).await?;
    place.resize(room_for_results(&keys))?;
    let deleted = state.cache.delete_many(keys.clone()).await;
    results(&state, place, keys, deleted, Done::deleted)
}
