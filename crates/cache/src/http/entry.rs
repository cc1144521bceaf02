//! Values as JSON: how they come in and how they go out.

use super::error::{ApiError, ErrorCode};
use super::expiry::expiry;
use super::kind::Kind;
use super::meta::{self, FoundEntry};
use crate::{CachedValue, Expiry, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use evenfold_http::answer::Answer;
use evenfold_http::inflight::OverBudget;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::Write;
use utoipa::ToSchema;

/// What an answer about a value has besides the value: names, quotes, a version and a time to live.
const AROUND_A_VALUE: usize = 96;

/// A value, as it is answered.
//
// For the document: answers are written by hand.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
#[schema(rename_all = "camelCase")]
pub(super) struct Entry {
    /// Any JSON value.
    value: serde_json::Value,
    /// What it is.
    #[schema(rename = "type")]
    kind: Kind,
    /// No other value, of any key, has the same.
    version: u64,
    /// How many seconds it is still there; missing if that is not limited.
    ttl_sec: Option<f64>,
    /// With `includeMeta=true`: when it is not there any more, in UTC; missing if that is not limited.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// With `includeMeta=true`: how many bytes the value has, as `MAX_ITEM_BYTES` counts them.
    bytes: Option<u64>,
    /// With `includeMeta=true`: how many bytes of the memory budget the entry takes up, with its key.
    memory_bytes: Option<u64>,
    /// With `includeMeta=true`: whether the value is kept compressed.
    compressed: Option<bool>,
}

/// A value that is to be put.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NewEntry<'a> {
    /// Any JSON value. Numbers keep every digit they are sent with.
    #[serde(borrow)]
    #[schema(value_type = serde_json::Value)]
    value: &'a RawValue,
    /// What the value is. Only `base64` says more than the value itself does: a string that stands for bytes.
    #[serde(rename = "type")]
    kind: Option<Kind>,
    /// How long the value is there, in seconds, from 0.001 to 315360000 (10 years), with fractions; for ever, or until
    /// there is no more room for it, without.
    #[schema(minimum = 0.001, maximum = 315_360_000.0)]
    ttl_sec: Option<f64>,
    /// In place of `ttlSec`: until when the value is there, in RFC 3339, from 0.001 seconds to 10 years from now.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Cow<'a, str>>,
}

impl NewEntry<'_> {
    pub(super) fn value(&self) -> Result<Value, ApiError> {
        value(self.value, self.kind)
    }

    pub(super) fn expiry(&self) -> Result<Expiry, ApiError> {
        expiry(self.ttl_sec, self.expires_at.as_deref())
    }
}

/// The value that a JSON text stands for, if it is of this type.
pub(super) fn value(json: &RawValue, declared: Option<Kind>) -> Result<Value, ApiError> {
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidValue, message);
    if declared == Some(Kind::Base64) {
        let bytes = serde_json::from_str::<Cow<'_, str>>(json.get()).ok().and_then(|text| STANDARD.decode(&*text).ok());
        return bytes.map(|bytes| Value::Bytes(bytes.into())).ok_or_else(|| {
            invalid("a value of the type base64 is a string in padded base64 (RFC 4648, section 4)".to_owned())
        });
    }
    let value = Value::from_raw(json).map_err(|error| invalid(error.to_string()))?;
    let is = Kind::of(&value);
    match declared {
        Some(declared) if declared != is => Err(invalid(format!(
            "the type is given as {}, but the value is of type {}; leave the type out",
            declared.name(),
            is.name()
        ))),
        _ => Ok(value),
    }
}

/// Adds a value that was found, as JSON, with these bytes before and after its fields. What it takes in memory is
/// counted before.
///
/// Written by hand: the value is already text, and every answer to a read goes through here.
pub(super) fn write(answer: &mut Answer, found: FoundEntry, before: &[u8], after: &[u8]) -> Result<(), ApiError> {
    let more = found.room();
    let FoundEntry { hit, meta } = found;
    let (bytes, compressed) = (hit.value_bytes(), hit.plain().is_none());
    answer.set_scratch(hit.opening_bytes())?;
    let found = hit.open().ok_or_else(|| ApiError::new(ErrorCode::Internal, "the value can't be unpacked"))?;
    answer.reserve(before.len() + room(&found.value) + more + after.len())?;
    answer.out().extend_from_slice(before);
    write_found(answer, &found)?;
    if let Some(meta) = meta {
        meta::write(answer, bytes, compressed, meta)?;
    }
    answer.write_all(after).map_err(|_| OverBudget)?;
    drop(found);
    Ok(answer.set_scratch(0)?)
}

/// How many bytes an answer about this value has, without the escapes of a text.
fn room(value: &Value) -> usize {
    let text = match value {
        Value::Bytes(bytes) => bytes.len().div_ceil(3) * 4,
        other => other.len(),
    };
    text + AROUND_A_VALUE
}

/// How many bytes an answer about this value has, or somewhat fewer: without the escapes of a text, and compressed
/// bytes as they are.
pub(super) fn room_of(found: &FoundEntry) -> usize {
    let hit = &found.hit;
    hit.plain().map_or_else(|| hit.value_bytes() + AROUND_A_VALUE, room) + found.room()
}

/// The fields of a value, without braces around them; there is [room] for them, except for escapes.
fn write_found(answer: &mut Answer, found: &CachedValue) -> Result<(), OverBudget> {
    answer.out().extend_from_slice(b"\"value\":");
    write_value(answer, &found.value)?;
    let kind = Kind::of(&found.value).name();
    write!(answer, ",\"type\":\"{kind}\",\"version\":{}", found.version).map_err(|_| OverBudget)?;
    if let Some(left) = found.expires_in {
        // What is still there has some time left, also when that is less than is shown.
        let millis = left.as_nanos().div_ceil(1_000_000);
        write!(answer, ",\"ttlSec\":{}.{:03}", millis / 1_000, millis % 1_000).map_err(|_| OverBudget)?;
    }
    Ok(())
}

fn write_value(answer: &mut Answer, value: &Value) -> Result<(), OverBudget> {
    let out = answer.out();
    match value {
        Value::String(text) => return answer.text(text),
        Value::Number(number) => out.extend_from_slice(number.text().as_bytes()),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Json(json) => out.extend_from_slice(json.text().as_bytes()),
        Value::Bytes(bytes) => {
            out.push(b'"');
            let from = out.len();
            out.resize(from + bytes.len().div_ceil(3) * 4, 0);
            // There is exactly as much room as padded base64 has.
            let _ = STANDARD.encode_slice(bytes, &mut out[from..]);
            out.push(b'"');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_TTL;
    use evenfold_http::body::parse;
    use evenfold_http::inflight::InFlight;
    use proptest::prelude::*;
    use std::time::Duration;

    fn put(body: &str) -> Result<(Value, Expiry), ErrorCode> {
        let code = |error: ApiError| error.code;
        let entry: NewEntry<'_> = parse(body.as_bytes()).map_err(ApiError::from).map_err(code)?;
        Ok((entry.value().map_err(code)?, entry.expiry().map_err(code)?))
    }

    /// As JSON, and whether there was room for it.
    fn written(found: &CachedValue) -> (String, bool) {
        let mut answer = Answer::new(InFlight::new(1, usize::MAX).enter().unwrap());
        answer.reserve(room(&found.value) + 1).unwrap();
        let room = answer.out().capacity();
        answer.out().push(b'{');
        write_found(&mut answer, found).unwrap();
        let mut out = std::mem::take(answer.out());
        let fits = out.len() <= room;
        out.push(b'}');
        (String::from_utf8(out).unwrap(), fits)
    }

    fn text(found: &CachedValue) -> String {
        written(found).0
    }

    fn shown(value: Value) -> String {
        text(&CachedValue { value, version: 7, expires_in: None })
    }

    #[test]
    fn values_come_back_as_they_were_sent() {
        for (value, kind) in [
            ("\"a\"", "string"),
            ("\"\"", "string"),
            ("12345678901234567890", "number"),
            ("1e400", "number"),
            ("-0", "number"),
            ("1.10", "number"),
            ("true", "boolean"),
            ("false", "boolean"),
            ("null", "json"),
            ("{\"a\": [1 , 2]}", "json"),
            ("[]", "json"),
        ] {
            let (stored, _) = put(&format!("{{\"value\": {value} , \"type\":\"{kind}\"}}")).unwrap();
            assert_eq!(shown(stored), format!("{{\"value\":{value},\"type\":\"{kind}\",\"version\":7}}"));
        }
    }

    #[test]
    fn bytes_are_padded_base64() {
        for (text, bytes) in [("", &b""[..]), ("AA==", b"\0"), ("+/8=", &[0xfb, 0xff]), ("YWJj", b"abc")] {
            let (value, _) = put(&format!("{{\"value\":\"{text}\",\"type\":\"base64\"}}")).unwrap();
            assert_eq!(value, Value::from(bytes));
            assert_eq!(shown(value), format!("{{\"value\":\"{text}\",\"type\":\"base64\",\"version\":7}}"));
        }
        for wrong in ["\"AA\"", "\"-_8=\"", "\"A A=\"", "1", "null", "\"AB==\""] {
            assert_eq!(
                put(&format!("{{\"value\":{wrong},\"type\":\"base64\"}}")),
                Err(ErrorCode::InvalidValue),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_time_to_live_has_fractions_and_is_never_shown_as_nothing() {
        let ttl = |text: &str| put(&format!("{{\"value\":1,\"ttlSec\":{text}}}")).map(|(_, expiry)| expiry);
        assert_eq!(ttl("0.25"), Ok(Expiry::After(Duration::from_millis(250))));
        assert_eq!(ttl("null"), Ok(Expiry::Never));
        assert_eq!(ttl("1e999"), Err(ErrorCode::MalformedJson), "no number of 64 bits");
        let left = |left| CachedValue { value: Value::from(true), version: 1, expires_in: Some(left) };
        for (time, text) in [(1, "0.001"), (1_000_000, "0.001"), (1_000_001, "0.002"), (90_061_000_000, "90.061")] {
            let body = super::tests::text(&left(Duration::from_nanos(time)));
            assert!(body.ends_with(&format!(",\"ttlSec\":{text}}}")), "{body}");
        }
    }

    #[test]
    fn a_body_that_is_not_an_entry_is_refused_with_a_code() {
        for (body, code) in [
            ("", ErrorCode::MalformedJson),
            ("{", ErrorCode::MalformedJson),
            ("{\"value\":01}", ErrorCode::MalformedJson),
            ("{\"value\":1} 2", ErrorCode::MalformedJson),
            ("{}", ErrorCode::InvalidBody),
            ("[]", ErrorCode::InvalidBody),
            ("{\"value\":1,\"value\":2}", ErrorCode::InvalidBody),
            ("{\"value\":1,\"ttl\":2}", ErrorCode::InvalidBody),
            ("{\"value\":1,\"ttlSec\":\"2\"}", ErrorCode::InvalidBody),
            ("{\"value\":1,\"expiresAt\":1893456000}", ErrorCode::InvalidBody),
            ("{\"value\":1,\"expiresAt\":\"soon\"}", ErrorCode::InvalidTtl),
            ("{\"value\":1,\"ttlSec\":1,\"expiresAt\":\"2030-01-31T12:00:00Z\"}", ErrorCode::InvalidBody),
            ("{\"value\":1,\"type\":\"integer\"}", ErrorCode::InvalidBody),
            ("{\"value\":1,\"type\":\"string\"}", ErrorCode::InvalidValue),
            ("{\"value\":\"\\ud800\"}", ErrorCode::InvalidValue),
        ] {
            assert_eq!(put(body), Err(code), "{body}");
        }
    }

    proptest! {
        #[test]
        fn a_sent_answer_is_what_a_json_reader_reads(string: String, bytes: Vec<u8>) {
            let body: serde_json::Value = serde_json::from_str(&shown(Value::from(string.as_str()))).unwrap();
            prop_assert_eq!(&body["value"], &serde_json::Value::from(string));
            let (body, fits) =
                written(&CachedValue { value: Value::from(&bytes[..]), version: u64::MAX, expires_in: Some(MAX_TTL) });
            prop_assert!(fits, "there is room for all of it");
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(STANDARD.decode(body["value"].as_str().unwrap()).unwrap(), bytes);
        }
    }
}
