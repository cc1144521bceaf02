//! What can go wrong with a request, as JSON with a code.

use crate::{InvalidCounterId, InvalidIdempotencyKey, ServiceError};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use evenfold_http::auth::{Refusal, Scheme};
use evenfold_http::body::BodyError;
use evenfold_http::error::answer;
use evenfold_http::inflight::{ALL_TAKEN, AllTaken, OVER_BUDGET, OverBudget};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// What went wrong, for programs. There are no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: the body is not JSON.
    MalformedJson,
    /// 400: the counter's name is empty, too long, has control characters, or is not percent-encoded UTF-8.
    InvalidId,
    /// 400: the query can't be followed.
    InvalidQuery,
    /// 400: the Idempotency-Key is empty, too long, or has other characters than visible ASCII.
    InvalidIdempotencyKey,
    /// 400: a service that keeps counters in memory only does not remember keys.
    KeysNeedTheLog,
    /// 400: the body broke off.
    IncompleteBody,
    /// 401: the header Authorization is missing, or has another token.
    Unauthorized,
    /// 403: a page of another site asks for a change, of a service that has no token.
    ForeignOrigin,
    /// 404: there is no such path.
    UnknownPath,
    /// 405: the path does not have this method.
    MethodNotAllowed,
    /// 408: the body did not come in time.
    BodyTimeout,
    /// 409: an event of the counter can't be applied, and waits for somebody to mend it.
    Parked,
    /// 413: the body is too large.
    TooLarge,
    /// 421: the service does not answer to the name that the header Host has.
    MisdirectedRequest,
    /// 422: the body is JSON, but not what this path takes.
    InvalidBody,
    /// 422: the amount is 0, or no whole number of 64 bits.
    InvalidAmount,
    /// 422: the sum does not fit into 64 bits.
    Overflow,
    /// 422: the Idempotency-Key was used for something else.
    KeyReused,
    /// 500: a defect; the log says more.
    Internal,
    /// 503: too much waits for the counter's shard; nothing was counted.
    Busy,
    /// 503: too many requests are in flight; nothing was counted.
    TooManyInFlight,
    /// 503: the requests and answers in flight have as many bytes as they may; nothing was counted.
    TooManyBytesInFlight,
    /// 503: as many connections are open as may; nothing was counted.
    TooManyConnections,
    /// 503: as many watch as may.
    TooManyWatchers,
    /// 503: the counter can't be reached now; nothing was counted.
    Unavailable,
    /// 503: whether it was counted is not known; with an Idempotency-Key the request can be repeated.
    TimedOut,
    /// 503: the service is stopping; nothing was counted.
    Stopped,
    /// 503: a node can't answer requests now.
    NotReady,
    /// 507: a service that keeps counters in memory only has as many as it may.
    Full,
}

impl ErrorCode {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::MalformedJson
            | Self::InvalidId
            | Self::InvalidQuery
            | Self::InvalidIdempotencyKey
            | Self::KeysNeedTheLog
            | Self::IncompleteBody => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Parked => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MisdirectedRequest => StatusCode::MISDIRECTED_REQUEST,
            Self::InvalidBody | Self::InvalidAmount | Self::Overflow | Self::KeyReused => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy
            | Self::TooManyInFlight
            | Self::TooManyBytesInFlight
            | Self::TooManyConnections
            | Self::TooManyWatchers
            | Self::Unavailable
            | Self::TimedOut
            | Self::Stopped
            | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Full => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// An answer that is an error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ApiError {
    code: ErrorCode,
    /// One sentence that says what to do.
    #[schema(value_type = String)]
    message: Cow<'static, str>,
}

/// The body of an answer that is an error.
//
// For the document: answers are written for all services alike.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) struct ErrorBody {
    error: ApiError,
}

impl ApiError {
    pub(super) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let code = match error {
            ServiceError::Busy => ErrorCode::Busy,
            ServiceError::Unavailable(_) => ErrorCode::Unavailable,
            ServiceError::TimedOut(_) => ErrorCode::TimedOut,
            ServiceError::Overflow { .. } => ErrorCode::Overflow,
            ServiceError::KeyReused => ErrorCode::KeyReused,
            ServiceError::Parked(_) => ErrorCode::Parked,
            ServiceError::Full => ErrorCode::Full,
            ServiceError::KeysNeedTheLog => ErrorCode::KeysNeedTheLog,
            ServiceError::Stopped => ErrorCode::Stopped,
        };
        Self::new(code, error.to_string())
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooLarge(_) => ErrorCode::TooLarge,
            BodyError::TimedOut => ErrorCode::BodyTimeout,
            BodyError::Incomplete => ErrorCode::IncompleteBody,
            BodyError::OverBudget => ErrorCode::TooManyBytesInFlight,
            BodyError::Malformed(_) => ErrorCode::MalformedJson,
            BodyError::Invalid(_) => ErrorCode::InvalidBody,
        };
        Self::new(code, error.to_string())
    }
}

impl From<OverBudget> for ApiError {
    fn from(OverBudget: OverBudget) -> Self {
        Self::new(ErrorCode::TooManyBytesInFlight, OVER_BUDGET)
    }
}

impl From<AllTaken> for ApiError {
    fn from(AllTaken: AllTaken) -> Self {
        Self::new(ErrorCode::TooManyInFlight, ALL_TAKEN)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::NoToken(_) | Refusal::WrongToken(_) => ErrorCode::Unauthorized,
            Refusal::ForeignOrigin => ErrorCode::ForeignOrigin,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<InvalidCounterId> for ApiError {
    fn from(error: InvalidCounterId) -> Self {
        Self::new(ErrorCode::InvalidId, error.to_string())
    }
}

impl From<InvalidIdempotencyKey> for ApiError {
    fn from(error: InvalidIdempotencyKey) -> Self {
        Self::new(ErrorCode::InvalidIdempotencyKey, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        answer(self.code.status(), &self, || Scheme::Bearer.challenge())
    }
}
