//! The errors of each kind of request, for the OpenAPI document.

use super::error::ErrorBody;
use utoipa::IntoResponses;

/// Of an increment.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) enum IncrementErrors {
    /// `invalid_id`, `malformed_json`, `incomplete_body`, `invalid_idempotency_key`, `keys_need_the_log`
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// `unauthorized`
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// `foreign_origin`
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// `body_timeout`
    #[response(status = 408)]
    Timeout(ErrorBody),
    /// `parked`
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// `too_large`
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// `invalid_body`, `invalid_amount`, `overflow`, `key_reused`
    #[response(status = 422)]
    Invalid(ErrorBody),
    /// `busy`, `too_many_in_flight`, `too_many_bytes_in_flight`, `unavailable`, `stopped`: nothing was counted. `timed_out`: that is not known.
    #[response(status = 503)]
    Unavailable(ErrorBody),
    /// `full`
    #[response(status = 507)]
    Full(ErrorBody),
}

/// Of reading one counter.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) enum ReadErrors {
    /// `invalid_id`
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// `unauthorized`, where reads need the token
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// `parked`
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// `busy`, `too_many_in_flight`, `too_many_bytes_in_flight`, `unavailable`, `timed_out`, `stopped`
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// Of reading many counters.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) enum TopErrors {
    /// `invalid_query`
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// `unauthorized`, where reads need the token
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// `busy`, `too_many_in_flight`, `too_many_bytes_in_flight`, `unavailable`, `timed_out`, `stopped`
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// Of watching a counter.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) enum WatchErrors {
    /// `invalid_id`
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// `unauthorized`, where reads need the token
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// `parked`
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// `too_many_watchers`, `busy`, `unavailable`, `timed_out`, `stopped`
    #[response(status = 503)]
    Unavailable(ErrorBody),
}
