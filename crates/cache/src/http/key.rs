//! The key in a path.

use super::error::{ApiError, ErrorCode};
use crate::MAX_KEY_BYTES;
use evenfold_http::percent::{InvalidEncoding, decoded};
use evenfold_http::route::Head;
use std::borrow::Cow;
use utoipa::ToSchema;

/// Text of 1 to 512 bytes in UTF-8, without control characters.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 512, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$")]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) struct Key(String);

/// The key in a path: percent-encoded UTF-8, of 1 to [`MAX_KEY_BYTES`] bytes without control characters.
pub(super) fn in_path(head: &Head) -> Result<Cow<'_, str>, ApiError> {
    decode(head.parameter())
}

fn decode(encoded: &str) -> Result<Cow<'_, str>, ApiError> {
    let wrong = |error: InvalidEncoding| ApiError::new(ErrorCode::InvalidKey, error.to_string());
    let key = decoded(encoded).map_err(wrong)?;
    check(&key)?;
    Ok(key)
}

/// The limits of a key, wherever it came from.
pub(super) fn check(key: &str) -> Result<(), ApiError> {
    let wrong = if key.is_empty() {
        format!("the key is empty; give one of 1 to {MAX_KEY_BYTES} bytes")
    } else if key.len() > MAX_KEY_BYTES {
        format!("the key has {} bytes; shorten it to {MAX_KEY_BYTES}", key.len())
    } else if let Some(control) = key.chars().find(|c| c.is_control()) {
        format!("the key has the control character U+{:04X}; leave it out", u32::from(control))
    } else {
        return Ok(());
    };
    Err(ApiError::new(ErrorCode::InvalidKey, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(encoded: &str) -> Option<String> {
        decode(encoded).ok().map(Cow::into_owned)
    }

    #[test]
    fn a_key_is_percent_encoded_utf_8() {
        for (encoded, expected) in
            [("a", "a"), ("a%2Fb%2fc", "a/b/c"), ("%25", "%"), ("%C3%A9", "é"), ("a+b", "a+b"), ("%F0%9F%A6%80", "🦀")]
        {
            assert_eq!(key(encoded).as_deref(), Some(expected));
        }
        for wrong in ["%", "%C3", "%0A", "%00", "%7F", "%C2%85"] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_has_1_to_512_bytes() {
        assert_eq!(key(""), None);
        assert_eq!(key(&"k".repeat(512)), Some("k".repeat(512)));
        assert_eq!(key(&"k".repeat(513)), None);
        assert_eq!(key(&"%C3%A9".repeat(256)), Some("é".repeat(256)), "bytes are counted when they are decoded");
        assert_eq!(key(&"%C3%A9".repeat(257)), None);
    }

    proptest! {
        #[test]
        fn every_key_can_be_written(text in "[^\\p{Cc}]{1,100}") {
            let encoded = text.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"));
            prop_assert_eq!(key(&encoded), Some(text));
        }
    }
}
