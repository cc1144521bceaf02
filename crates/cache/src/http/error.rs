//! What can go wrong with a request.

use crate::CacheError;
use evenfold_groups::ResizeError;
use evenfold_http::error::{self, Details};
use evenfold_http::error_codes;
use serde::Serialize;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{KnownFormat, SchemaFormat, Type};

error_codes! {
    /// What went wrong, for programs. There are no others.
    pub enum ErrorCode {
        InvalidKey = 400, "the key is empty, too long, has control characters, or is not percent-encoded UTF-8";
        InvalidPrecondition = 400, "If-Match or If-None-Match can't be followed";
        InvalidQuery = 400, "the query can't be followed";
        NotFound = 404, "there is no such key";
        NotANumber = 409, "the value to be counted up is not a whole number of 64 bits";
        Overflow = 409, "the sum does not fit into 64 bits";
        PreconditionFailed = 412, "the key does not have the version that was asked for; the current one is in the answer";
        InvalidValue = 422, "the value is not of the type that is given";
        InvalidTtl = 422, "the time to live, or the moment at which it ends, is out of range, or is no moment";
        InvalidShards = 422, "the number of shards is out of range";
        Busy = 503, "the shard's mailbox is full; nothing was changed";
        Maintenance = 503, "changes are not accepted; nothing was changed";
        Stopped = 503, "the cache has stopped";
        TimedOut = 504, "the change was not answered in time; it may have happened";
        NoRoom = 507, "the memory budget has no room for the value";
    }
}

/// An answer that is an error.
pub(super) type ApiError = error::ApiError<ErrorCode, CurrentVersion>;

/// With `precondition_failed`: the version that the key has.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CurrentVersion {
    /// Null if there is no such key.
    current_version: Option<u64>,
}

impl Details for CurrentVersion {
    fn document(error: ObjectBuilder) -> ObjectBuilder {
        let description = "With `precondition_failed`: the version that the key has, or null if there is no such key.";
        let version = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0))
            .description(Some(description));
        error.property("currentVersion", version)
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
            CacheError::Panicked | CacheError::Resize(ResizeError::Handover(_)) => ErrorCode::Internal,
            CacheError::Stopped | CacheError::Resize(ResizeError::Stopped) => ErrorCode::Stopped,
            CacheError::NoRoom { .. } => ErrorCode::NoRoom,
            CacheError::Resize(ResizeError::Options(_)) => ErrorCode::InvalidShards,
        };
        let answered = Self::new(code, error.to_string());
        match error {
            CacheError::Conflict { current } => answered.with(CurrentVersion { current_version: current }),
            _ => answered,
        }
    }
}
