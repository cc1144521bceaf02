//! What can go wrong with a request, as JSON with a code.

use crate::CacheError;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use evenfold_groups::ResizeError;
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
    /// 400: the key is empty, too long, has control characters, or is not percent-encoded UTF-8.
    InvalidKey,
    /// 400: If-Match or If-None-Match can't be followed.
    InvalidPrecondition,
    /// 400: the body broke off.
    IncompleteBody,
    /// 401: the header X-API-Token is missing or wrong.
    Unauthorized,
    /// 403: a page of another site asks for a change, of a service that has no token.
    ForeignOrigin,
    /// 404: there is no such key.
    NotFound,
    /// 404: there is no such path.
    UnknownPath,
    /// 405: the path does not have this method.
    MethodNotAllowed,
    /// 408: the body did not come in time.
    BodyTimeout,
    /// 409: the value to be counted up is not a whole number of 64 bits.
    NotANumber,
    /// 409: the sum does not fit into 64 bits.
    Overflow,
    /// 412: the key does not have the version that was asked for.
    PreconditionFailed,
    /// 413: the body, the value, the batch or what it would answer is too large.
    TooLarge,
    /// 421: the service does not answer to the name that the header Host has.
    MisdirectedRequest,
    /// 422: the body is JSON, but not what this path takes.
    InvalidBody,
    /// 422: the value is not of the type that it is said to have.
    InvalidValue,
    /// 422: the time to live is out of range.
    InvalidTtl,
    /// 422: the number of shards is out of range.
    InvalidShards,
    /// 500: a defect; the log says more.
    Internal,
    /// 503: the shard's mailbox is full; nothing was changed.
    Busy,
    /// 503: too many requests are in flight; nothing was changed.
    TooManyInFlight,
    /// 503: the requests and answers in flight have as many bytes as they may; nothing was changed.
    TooManyBytesInFlight,
    /// 503: as many connections are open as may; nothing was changed.
    TooManyConnections,
    /// 503: maintenance; nothing was changed.
    Maintenance,
    /// 503: the cache has stopped.
    Stopped,
    /// 504: the change was not answered in time; it may have happened.
    TimedOut,
    /// 507: the memory budget has no room for the value.
    NoRoom,
}

impl ErrorCode {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::MalformedJson | Self::InvalidKey | Self::InvalidPrecondition | Self::IncompleteBody => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NotANumber | Self::Overflow => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MisdirectedRequest => StatusCode::MISDIRECTED_REQUEST,
            Self::InvalidBody | Self::InvalidValue | Self::InvalidTtl | Self::InvalidShards => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy
            | Self::TooManyInFlight
            | Self::TooManyBytesInFlight
            | Self::TooManyConnections
            | Self::Maintenance
            | Self::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// An answer that is an error.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiError {
    pub(super) code: ErrorCode,
    /// One sentence that says what to do.
    #[schema(value_type = String)]
    message: Cow<'static, str>,
    /// With `precondition_failed`: the version that the key has, or null if there is no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    current_version: Option<Current>,
}

/// The version that a key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Current {
    Version(u64),
    Absent,
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
        Self { code, message: message.into(), current_version: None }
    }
}

impl From<CacheError> for ApiError {
    fn from(error: CacheError) -> Self {
        let code = match error {
            CacheError::Busy => ErrorCode::Busy,
            CacheError::TimedOut => ErrorCode::TimedOut,
            CacheError::Conflict { .. } => ErrorCode::PreconditionFailed,
            CacheError::TooLarge { .. } => ErrorCode::TooLarge,
            CacheError::KeyEmpty | CacheError::KeyTooLong { .. } | CacheError::KeyNotAllowed { .. } => {
                ErrorCode::InvalidKey
            }
            CacheError::NotANumber => ErrorCode::NotANumber,
            CacheError::Overflow => ErrorCode::Overflow,
            CacheError::TtlOutOfRange => ErrorCode::InvalidTtl,
            CacheError::Maintenance => ErrorCode::Maintenance,
            CacheError::Panicked | CacheError::Resize(ResizeError::HandOver(_)) => ErrorCode::Internal,
            CacheError::Stopped | CacheError::Resize(ResizeError::Stopped) => ErrorCode::Stopped,
            CacheError::NoRoom { .. } => ErrorCode::NoRoom,
            CacheError::Resize(ResizeError::Options(_)) => ErrorCode::InvalidShards,
        };
        let current_version = match error {
            CacheError::Conflict { current } => Some(current.map_or(Current::Absent, Current::Version)),
            _ => None,
        };
        Self { code, message: error.to_string().into(), current_version }
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

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        answer(self.code.status(), &self, || Scheme::Header.challenge())
    }
}
