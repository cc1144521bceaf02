//! The header `traceparent` of W3C Trace Context: which span of which trace has caused a request.

use super::request_id;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use tracing::Span;

const NAME: &str = "traceparent";

/// How long the text of version 00 is. Later versions begin alike.
const LENGTH: usize = 55;

/// A span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traceparent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// A text that is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form 00-<32 digits>-<16 digits>-<2 digits>, in lower case and hexadecimal")]
pub struct InvalidTraceparent;

impl FromStr for Traceparent {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let (known, rest) = text.split_at_checked(LENGTH).ok_or(InvalidTraceparent)?;
        let [version, trace, span, flags] = parts(known).ok_or(InvalidTraceparent)?;
        // A later version may have more at its end.
        let ends = rest.is_empty() || version != "00" && rest.starts_with('-');
        if version == "ff" || !ends {
            return Err(InvalidTraceparent);
        }
        let invalid = |_| InvalidTraceparent;
        let trace = u128::from_str_radix(trace, 16).map_err(invalid)?;
        let span = u64::from_str_radix(span, 16).map_err(invalid)?;
        let flags = u8::from_str_radix(flags, 16).map_err(invalid)?;
        let valid = trace != 0 && span != 0;
        valid.then_some(Self { trace, span, flags }).ok_or(InvalidTraceparent)
    }
}

/// The four parts, each of digits.
fn parts(text: &str) -> Option<[&str; 4]> {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]);
    (lengths && parts.iter().all(digits)).then(|| parts.try_into().ok())?
}

/// In version 00.
impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl Traceparent {
    /// That of a request; none if there is none, or several, or if it is not valid.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(NAME).iter();
        match (given.next(), given.next()) {
            (Some(only), None) => only.to_str().ok()?.parse().ok(),
            _ => None,
        }
    }
}

/// Puts the span of a request below the one that has caused it, and gives what is to be passed on: the span itself.
pub type Continue = fn(&Span, Option<Traceparent>) -> Option<Traceparent>;

static CONTINUE: OnceLock<Continue> = OnceLock::new();

/// Has requests traced from now on, by this function; only the first one counts. Without it what a request has is
/// passed on as it is.
pub fn trace_requests(by: Continue) {
    // A process is traced in one way.
    let _ = CONTINUE.set(by);
}

/// The span of a request, none if requests are not traced, and what is to be passed on.
pub(crate) fn begin(method: &str, route: &'static str, headers: &HeaderMap) -> (Span, Option<Traceparent>) {
    let parent = Traceparent::of(headers);
    let Some(by) = CONTINUE.get() else { return (Span::none(), parent) };
    let span = tracing::info_span!(
        "request",
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        request.id = headers.get(request_id::NAME).and_then(|id| id.to_str().ok()),
        http.response.status_code = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    );
    let passed = by(&span, parent);
    (span, passed.or(parent))
}

/// Writes the answer's status down.
pub(crate) fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_text_comes_out_as_it_went_in() {
        let parsed: Traceparent = VALID.parse().unwrap();
        assert_eq!(parsed.to_string(), VALID);
    }

    #[test]
    fn of_a_later_version_what_is_known_of_it_is_taken() {
        for later in [VALID.replacen("00", "cc", 1), format!("{}-more", VALID.replacen("00", "cc", 1))] {
            assert_eq!(later.parse::<Traceparent>().unwrap().to_string(), VALID, "{later}");
        }
    }

    #[test]
    fn what_the_recommendation_calls_invalid_is_refused() {
        let wrong = [
            String::new(),
            VALID.to_uppercase(),
            VALID.replacen("00", "ff", 1),
            format!("{VALID}-more"),
            format!("{} ", VALID.replacen("00", "cc", 1)),
            VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            VALID.replace("4bf9", "+bf9"),
            VALID.replace('-', "_"),
            VALID[..54].to_owned(),
        ];
        for text in wrong {
            assert_eq!(text.parse::<Traceparent>(), Err(InvalidTraceparent), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}", at in 0usize..56) {
            let _ = text.parse::<Traceparent>();
            let _ = format!("{}{text}", &VALID[..at.min(VALID.len())]).parse::<Traceparent>();
        }
    }

    #[test]
    fn a_request_with_two_has_none() {
        let headers = |values: &[&'static str]| -> HeaderMap {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(NAME, HeaderValue::from_static(value));
            }
            headers
        };
        assert_eq!(Traceparent::of(&headers(&[VALID])).map(|parent| parent.to_string()).as_deref(), Some(VALID));
        assert_eq!(Traceparent::of(&headers(&[VALID, VALID])), None);
        assert_eq!(Traceparent::of(&headers(&[])), None);
    }
}
