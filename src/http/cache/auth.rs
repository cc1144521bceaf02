//! Who may ask for what.

use super::error::{ApiError, ErrorCode};
use super::route::{Access, Route};
use axum::http::{HeaderMap, header};
use std::fmt;
use subtle::ConstantTimeEq;

const HEADER: &str = "x-api-token";

/// The secret that `X-API-Token` must have.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken(Box<str>);

/// A token that no request could have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiTokenError {
    /// Nothing would be as good.
    #[error("the token is empty; leave API_TOKEN unset, or give it a secret text")]
    Empty,
    /// It does not go through a header.
    #[error("the token may have visible ASCII characters only, without spaces; choose another")]
    NotVisible,
}

impl ApiToken {
    /// A token of visible ASCII characters, at least one.
    ///
    /// # Errors
    ///
    /// See [`ApiTokenError`].
    pub fn new(secret: &str) -> Result<Self, ApiTokenError> {
        if secret.is_empty() {
            Err(ApiTokenError::Empty)
        } else if secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(secret.into()))
        } else {
            Err(ApiTokenError::NotVisible)
        }
    }

    /// Compares without ending at the first byte that differs: how long it takes tells the length of the token, and
    /// nothing of what it says.
    fn is(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken")
    }
}

/// What needs the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The token that changes and the administration need.
    pub token: ApiToken,
    /// Whether reads need it too. The health, the metrics and the documents never do.
    pub reads: bool,
}

/// The rules of one service.
#[derive(Debug)]
pub(super) struct Gate(pub(super) Option<Auth>);

impl Gate {
    pub(super) fn check(&self, route: Route, headers: &HeaderMap) -> Result<(), ApiError> {
        match (route.access(), &self.0) {
            (Access::Open, _) | (Access::Read, None) => Ok(()),
            (Access::Read, Some(auth)) if !auth.reads => Ok(()),
            (_, Some(auth)) => match headers.get(HEADER) {
                Some(given) if auth.token.is(given.as_bytes()) => Ok(()),
                Some(_) => Err(ApiError::new(ErrorCode::Unauthorized, "the token in X-API-Token is not the right one")),
                None => Err(ApiError::new(ErrorCode::Unauthorized, "send the token in the header X-API-Token")),
            },
            // Any page in a browser on this machine can send here. Browsers name the page with each request that is not
            // a plain read; programs have no reason to.
            (Access::Write, None) if headers.contains_key(header::ORIGIN) => Err(ApiError::new(
                ErrorCode::ForeignOrigin,
                "without a token, changes are not taken from web pages; start the service with API_TOKEN",
            )),
            (Access::Write, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(token: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(HEADER, HeaderValue::from_str(token).unwrap());
        }
        headers
    }

    fn allows(gate: &Gate, route: Route, token: Option<&str>) -> bool {
        gate.check(route, &headers(token)).is_ok()
    }

    #[test]
    fn writes_need_the_token_and_reads_need_it_when_it_is_said() {
        let gate = |reads| Gate(Some(Auth { token: ApiToken::new("secret").unwrap(), reads }));
        for (reads_too, route) in [(false, Route::Put), (true, Route::Put), (true, Route::Get), (true, Route::BatchGet)]
        {
            let gate = &gate(reads_too);
            assert!(allows(gate, route, Some("secret")), "{route:?}");
            for wrong in [None, Some(""), Some("secre"), Some("secrets"), Some("Secret"), Some("secreT")] {
                assert!(!allows(gate, route, wrong), "{route:?} {wrong:?}");
            }
        }
        assert!(allows(&gate(false), Route::Get, None) && allows(&gate(false), Route::BatchGet, None));
        assert!(allows(&gate(true), Route::Watch, None), "probes have no token");
        assert!(!allows(&gate(false), Route::Other, None), "what is not known is not let through");
    }

    #[test]
    fn without_a_token_pages_can_read_and_not_write() {
        let gate = Gate(None);
        let mut page = HeaderMap::new();
        page.insert(header::ORIGIN, HeaderValue::from_static("https://example.org"));
        for route in [Route::Put, Route::Incr, Route::BatchSet, Route::Admin] {
            assert_eq!(gate.check(route, &page).unwrap_err().code, ErrorCode::ForeignOrigin, "{route:?}");
            assert!(allows(&gate, route, None), "{route:?}");
        }
        assert!(gate.check(Route::Get, &page).is_ok());
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        assert_eq!(ApiToken::new(""), Err(ApiTokenError::Empty));
        for wrong in ["a b", "a\n", "é", "\u{7f}"] {
            assert_eq!(ApiToken::new(wrong), Err(ApiTokenError::NotVisible), "{wrong:?}");
        }
        assert_eq!(format!("{:?}", ApiToken::new("secret")), "Ok(ApiToken)", "it is not logged");
    }
}
