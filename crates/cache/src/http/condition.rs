//! Versions in headers: `ETag`, `If-Match`, `If-None-Match`.

use super::error::{ApiError, ErrorCode};
use crate::Condition;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use std::io::Write;

/// The version in quotes.
pub(super) fn etag(version: u64) -> HeaderValue {
    let mut text = Vec::with_capacity(22);
    // Writing to memory does not fail, and digits in quotes are a header's value.
    let _ = write!(text, "\"{version}\"");
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What must hold for a change.
pub(super) fn of_change(headers: &HeaderMap) -> Result<Condition, ApiError> {
    let given = |name| {
        let mut all = headers.get_all(name).iter();
        let one = all.next().map(HeaderValue::as_bytes);
        if all.next().is_some() { Err(wrong("give If-Match or If-None-Match once")) } else { Ok(one) }
    };
    match (given(header::IF_MATCH)?, given(header::IF_NONE_MATCH)?) {
        (None, None) => Ok(Condition::Always),
        (Some(b"*"), None) => Ok(Condition::IfPresent),
        // Without quotes it is no entity tag, and can mean nothing else. No version is 0.
        (Some(tag), None) => version(tag)
            .or_else(|| digits(tag).filter(|version| *version > 0))
            .map(Condition::IfVersion)
            .ok_or_else(|| wrong("If-Match takes one version, as in \"42\" or 42, or *")),
        (None, Some(b"*")) => Ok(Condition::IfAbsent),
        (None, Some(_)) => Err(wrong("for a change, If-None-Match takes * only; give a version in If-Match")),
        (Some(_), Some(_)) => Err(wrong("give If-Match or If-None-Match, not both")),
    }
}

/// Whether a reader has this version already: `If-None-Match` with it among others, or `*`. Tags are compared weakly,
/// as RFC 9110 asks for; those that are no versions of ours match none.
pub(super) fn is_known(headers: &HeaderMap, current: u64) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    tags.any(|tag| tag == b"*" || version(tag.strip_prefix(b"W/").unwrap_or(tag)) == Some(current))
}

fn version(tag: &[u8]) -> Option<u64> {
    digits(tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?)
}

fn digits(text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text).ok()?;
    // Rust would also read a sign and leading zeros, which no version of ours has.
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

fn wrong(message: &'static str) -> ApiError {
    ApiError::new(ErrorCode::InvalidPrecondition, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(header::HeaderName, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_change_depends_on_one_header_or_none() {
        let fine = [
            (headers(&[]), Condition::Always),
            (headers(&[(header::IF_MATCH, "*")]), Condition::IfPresent),
            (headers(&[(header::IF_MATCH, "\"18446744073709551615\"")]), Condition::IfVersion(u64::MAX)),
            (headers(&[(header::IF_MATCH, "42")]), Condition::IfVersion(42)),
            (headers(&[(header::IF_NONE_MATCH, "*")]), Condition::IfAbsent),
        ];
        for (headers, expected) in fine {
            assert_eq!(of_change(&headers).unwrap(), expected);
        }
        for wrong in [
            "",
            "0",
            "01",
            "+1",
            "\"1",
            "1\"",
            "\"\"",
            "\"+1\"",
            "\"01\"",
            "W/\"1\"",
            "\"1\", \"2\"",
            "\"18446744073709551616\"",
            "\"a\"",
        ] {
            assert!(of_change(&headers(&[(header::IF_MATCH, wrong)])).is_err(), "{wrong}");
        }
        let (one, none) = ((header::IF_MATCH, "\"1\""), (header::IF_NONE_MATCH, "*"));
        for wrong in [&[one.clone(), none][..], &[(header::IF_NONE_MATCH, "\"1\"")]] {
            assert!(of_change(&headers(wrong)).is_err(), "{wrong:?}");
        }
        let mut twice = headers(&[one]);
        twice.append(header::IF_MATCH, HeaderValue::from_static("\"2\""));
        assert!(of_change(&twice).is_err());
    }

    #[test]
    fn a_reader_may_know_several_versions() {
        let known = |tags| is_known(&headers(&[(header::IF_NONE_MATCH, tags)]), 7);
        assert!(["*", "\"7\"", "W/\"7\"", "\"1\",\"7\"", "\"x\" , \"7\""].into_iter().all(known));
        assert!(!["", "7", "\"8\"", "\"77\"", "\"1\",\"8\""].into_iter().any(known));
        assert_eq!(etag(7), "\"7\"");
        assert!(known(etag(7).to_str().unwrap()));
    }
}
