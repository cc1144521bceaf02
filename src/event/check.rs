//! What an event must be, whatever the log holds.

use super::{MAX_JSON_BYTES, Unreadable, unreadable};
use crate::number::Version;

/// Why an event can't be appended, whatever the log holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// A name is empty, too long, or holds the character NUL, which PostgreSQL's text can't.
    #[error("{field} must be 1 to {limit} bytes long and without the character NUL, and this one {problem}")]
    Name {
        /// Which field.
        field: &'static str,
        /// How many bytes it may have.
        limit: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The payload or the metadata is too large.
    #[error("{field} may have {MAX_JSON_BYTES} bytes, and this one has {bytes}")]
    TooLarge {
        /// Which field.
        field: &'static str,
        /// How many bytes it has.
        bytes: usize,
    },
    /// PostgreSQL would store the JSON text, and could not read it again.
    #[error("{field} {reason}")]
    Unreadable {
        /// Which field.
        field: &'static str,
        /// Why.
        reason: Unreadable,
    },
    /// A negative expected version.
    #[error("the expected version must be 0 or more, and {0} is not")]
    Expected(Version),
    /// A time that is none, or that PostgreSQL does not have.
    #[error(
        "recorded_at must be a time with its offset from UTC, such as 2026-11-28T09:30:00Z, and this one is not: {0}"
    )]
    RecordedAt(String),
    /// The payload can't be written as JSON.
    #[error("the payload can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

pub(super) fn check_name(field: &'static str, name: &str, limit: usize) -> Result<(), InvalidEvent> {
    let problem = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > limit {
        format!("has {}", name.len())
    } else if name.contains('\0') {
        "has a NUL".to_owned()
    } else {
        return Ok(());
    };
    Err(InvalidEvent::Name { field, limit, problem })
}

pub(super) fn check_json(field: &'static str, text: &str) -> Result<(), InvalidEvent> {
    if text.len() > MAX_JSON_BYTES {
        return Err(InvalidEvent::TooLarge { field, bytes: text.len() });
    }
    unreadable(text).map_or(Ok(()), |reason| Err(InvalidEvent::Unreadable { field, reason }))
}
