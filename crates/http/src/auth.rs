//! Who may ask for what.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use std::fmt;
use subtle::ConstantTimeEq;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

const X_API_TOKEN: HeaderName = HeaderName::from_static("x-api-token");

/// How RFC 6750 has a token in `Authorization`. The name of a scheme may be written in any case.
const BEARER: &[u8] = b"bearer ";

/// The secret that whoever asks must know.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken(Box<str>);

/// A token that no request could have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiTokenError {
    /// Nothing would be as good.
    #[error("the token is empty; leave it unset, or give it a secret text")]
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

    /// Compares without ending at the first byte that differs: how long it takes reveals the length of the token, and
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
    /// The token that changes, and the administration of a cache, need.
    pub token: ApiToken,
    /// Whether reads need it too. The health, the metrics and the documents never do.
    pub reads: bool,
}

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, always.
    Open,
    /// Everybody, unless [`Auth::reads`] says otherwise.
    Read,
    /// Who has the token.
    Write,
}

/// Where a request has the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In a header of its own, `X-API-Token`.
    Header,
    /// In `Authorization`, after `Bearer`.
    Bearer,
}

impl Scheme {
    fn given(self, headers: &HeaderMap) -> Option<&[u8]> {
        match self {
            Self::Header => headers.get(X_API_TOKEN).map(HeaderValue::as_bytes),
            Self::Bearer => {
                let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(BEARER.len())?;
                scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_ascii_start())
            }
        }
    }

    /// What an answer of 401 says in `WWW-Authenticate`.
    #[must_use]
    pub fn challenge(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Header => "X-API-Token",
            Self::Bearer => "Bearer",
        })
    }

    /// The header of a request with this token, as it is sent.
    #[must_use]
    pub fn header(self, token: &str) -> String {
        match self {
            Self::Header => format!("X-API-Token: {token}"),
            Self::Bearer => format!("Authorization: Bearer {token}"),
        }
    }

    /// How the OpenAPI document says it, with a description in Markdown.
    #[must_use]
    pub fn documented(self, description: &str) -> SecurityScheme {
        match self {
            Self::Header => {
                SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("X-API-Token", description)))
            }
            Self::Bearer => {
                let builder = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
                SecurityScheme::Http(builder.description(Some(description)).build())
            }
        }
    }
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is a token, and the request has none.
    #[error("{}", match .0 {
        Scheme::Header => "send the token in the header X-API-Token",
        Scheme::Bearer => "send the token in the header Authorization, after Bearer",
    })]
    NoToken(Scheme),
    /// It has another one.
    #[error("{}", match .0 {
        Scheme::Header => "the token in X-API-Token is not the right one",
        Scheme::Bearer => "the token in Authorization is not the right one",
    })]
    WrongToken(Scheme),
    /// There is no token, and a web page of somebody else has sent it.
    #[error("without a token, changes are not taken from web pages; start the service with API_TOKEN")]
    ForeignOrigin,
}

/// The rules of one service.
#[derive(Debug)]
pub struct Gate {
    /// Where the token is.
    pub scheme: Scheme,
    /// None where everybody may do everything.
    pub auth: Option<Auth>,
}

impl Gate {
    /// Whether requests of this kind need the token.
    #[must_use]
    pub fn needs_token(&self, access: Access) -> bool {
        self.auth.as_ref().is_some_and(|auth| access == Access::Write || (access == Access::Read && auth.reads))
    }

    /// Whether a request is let in.
    pub fn check(&self, access: Access, headers: &HeaderMap) -> Result<(), Refusal> {
        match (access, &self.auth) {
            (Access::Open, _) | (Access::Read, None) => Ok(()),
            (Access::Read, Some(auth)) if !auth.reads => Ok(()),
            (_, Some(auth)) => match self.scheme.given(headers) {
                Some(given) if auth.token.is(given) => Ok(()),
                Some(_) => Err(Refusal::WrongToken(self.scheme)),
                None => Err(Refusal::NoToken(self.scheme)),
            },
            // Any page in a browser on this machine can send here. Browsers name the page with each request that is not
            // a plain read; programs have no reason to.
            (Access::Write, None) if headers.contains_key(header::ORIGIN) => Err(Refusal::ForeignOrigin),
            (Access::Write, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(scheme: Scheme, reads: bool) -> Gate {
        Gate { scheme, auth: Some(Auth { token: ApiToken::new("secret").unwrap(), reads }) }
    }

    fn allows(gate: &Gate, access: Access, header: Option<(HeaderName, &str)>) -> bool {
        let header = header.map(|(name, value)| (name, HeaderValue::from_str(value).unwrap()));
        gate.check(access, &header.into_iter().collect()).is_ok()
    }

    #[test]
    fn writes_need_the_token_and_reads_need_it_when_that_is_configured() {
        for (reads, access) in [(false, Access::Write), (true, Access::Write), (true, Access::Read)] {
            let gate = gate(Scheme::Header, reads);
            let header = |token| Some((X_API_TOKEN, token));
            assert!(allows(&gate, access, header("secret")), "{access:?}");
            for wrong in ["", "secre", "secrets", "Secret", "secreT"] {
                assert!(!allows(&gate, access, header(wrong)), "{access:?} {wrong:?}");
            }
            assert!(!allows(&gate, access, None), "{access:?}");
            assert!(allows(&gate, Access::Open, None), "probes have no token");
        }
        assert!(allows(&gate(Scheme::Header, false), Access::Read, None));
    }

    #[test]
    fn a_bearer_token_comes_after_its_scheme() {
        let gate = gate(Scheme::Bearer, false);
        let header = |value| Some((header::AUTHORIZATION, value));
        for right in ["Bearer secret", "bearer secret", "BEARER   secret"] {
            assert!(allows(&gate, Access::Write, header(right)), "{right}");
        }
        for wrong in [
            "",
            "secret",
            "Bearer",
            "Bearer ",
            "Bearersecret",
            "Basic secret",
            "Digest secret",
            "Bearer Secret",
            "Bearer a secret",
        ] {
            assert!(!allows(&gate, Access::Write, header(wrong)), "{wrong}");
        }
        assert!(!allows(&gate, Access::Write, Some((X_API_TOKEN, "secret"))), "that is the other scheme");
    }

    #[test]
    fn without_a_token_pages_can_read_and_not_write() {
        let gate = Gate { scheme: Scheme::Bearer, auth: None };
        let page = || Some((header::ORIGIN, "https://example.org"));
        assert!(!allows(&gate, Access::Write, page()) && allows(&gate, Access::Write, None));
        assert!(allows(&gate, Access::Read, page()));
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
