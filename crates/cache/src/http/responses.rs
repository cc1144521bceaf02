//! The errors of each kind of request, for the OpenAPI document.

use super::error::ErrorBody;
use utoipa::IntoResponses;

/// Of reading one key.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) enum ReadErrors {
    /// `invalid_key`
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// `unauthorized`, where reads need the token
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// `not_found`
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// `too_many_in_flight`, `too_many_bytes_in_flight`
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// Of what takes nothing and changes no key.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) enum AccessErrors {
    /// `unauthorized`
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// `foreign_origin`
    #[response(status = 403)]
    Forbidden(ErrorBody),
}

/// Of changing one key.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) enum ChangeErrors {
    /// `invalid_key`, `invalid_precondition`, `malformed_json`, `incomplete_body`
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// `unauthorized`
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// `foreign_origin`
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// `not_found`
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// `body_timeout`
    #[response(status = 408)]
    Timeout(ErrorBody),
    /// `precondition_failed`, with the current version
    #[response(status = 412)]
    PreconditionFailed(ErrorBody),
    /// `too_large`
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// `invalid_body`, `invalid_value`, `invalid_ttl`
    #[response(status = 422)]
    Invalid(ErrorBody),
    /// `internal`
    #[response(status = 500)]
    Internal(ErrorBody),
    /// `busy`, `too_many_in_flight`, `too_many_bytes_in_flight`, `maintenance`, `stopped`
    #[response(status = 503)]
    Unavailable(ErrorBody),
    /// `timed_out`
    #[response(status = 504)]
    TimedOut(ErrorBody),
    /// `no_room`
    #[response(status = 507)]
    NoRoom(ErrorBody),
}

/// Of everything else that has a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "read by the macro that makes the document")]
pub(super) enum BodyErrors {
    /// `malformed_json`, `incomplete_body`, `invalid_key`
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
    /// `not_a_number`, `overflow`
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// `too_large`
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// `invalid_body`, `invalid_value`, `invalid_ttl`, `invalid_shards`
    #[response(status = 422)]
    Invalid(ErrorBody),
    /// `internal`
    #[response(status = 500)]
    Internal(ErrorBody),
    /// `busy`, `too_many_in_flight`, `too_many_bytes_in_flight`, `maintenance`, `stopped`
    #[response(status = 503)]
    Unavailable(ErrorBody),
    /// `timed_out`
    #[response(status = 504)]
    TimedOut(ErrorBody),
    /// `no_room`
    #[response(status = 507)]
    NoRoom(ErrorBody),
}
