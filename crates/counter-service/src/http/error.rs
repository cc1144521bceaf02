//! What can go wrong with a request.

use crate::{InvalidCounterId, InvalidIdempotencyKey, ServiceError};
use evenfold_http::{error, error_codes};

error_codes! {
    /// What went wrong, for programs. There are no others.
    pub enum ErrorCode {
        InvalidId = 400, "the counter's name is empty, too long, has control characters, or is not percent-encoded UTF-8";
        InvalidQuery = 400, "the query can't be followed";
        InvalidIdempotencyKey = 400, "the Idempotency-Key is empty, too long, or has other characters than visible ASCII";
        KeysNeedTheLog = 400, "a service that keeps counters in memory only does not remember keys";
        Parked = 409, "an event of the counter can't be applied, and waits for somebody to mend it";
        InvalidAmount = 422, "the amount is 0, or no whole number of 64 bits";
        Overflow = 422, "the sum does not fit into 64 bits";
        KeyReused = 422, "the Idempotency-Key was used for something else";
        Busy = 503, "too much waits for the counter's shard; nothing was counted";
        TooManyWatchers = 503, "as many watch as may";
        Unavailable = 503, "the counter can't be reached now; nothing was counted";
        TimedOut = 503, "whether it was counted is not known; with an Idempotency-Key the request can be repeated";
        Stopped = 503, "the service is stopping; nothing was counted";
        NotReady = 503, "a node can't answer requests now";
        Full = 507, "a service that keeps counters in memory only has as many as it may";
    }
}

/// An answer that is an error.
pub(super) type ApiError = error::ApiError<ErrorCode>;

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
